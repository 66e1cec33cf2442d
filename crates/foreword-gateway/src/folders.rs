//! Folders of files that are yet to be made.

use std::path::Path;

/// The folder in which a file cannot be made, since there is no such folder.
pub(crate) fn missing_folder(file: &Path) -> Option<&Path> {
    file.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_is_missing_where_there_is_none_or_a_file_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        fs::write(at.join("file"), "").unwrap();
        assert_eq!(missing_folder(&at.join("a.sock")), None);
        assert_eq!(missing_folder(&at.join("gone/a.sock")), Some(&*at.join("gone")));
        assert_eq!(missing_folder(&at.join("file/a.sock")), Some(&*at.join("file")));
        assert_eq!(missing_folder(Path::new("a.sock")), None, "it is where we are");
        assert_eq!(missing_folder(Path::new("/")), None);
    }
}
