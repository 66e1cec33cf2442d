//! Files that are read again when they change: how they look, and what is made of them anew.

use std::fmt;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// Something that was made of files, and can be made anew while it is in use.
pub(crate) trait FromFiles: fmt::Debug + Send + Sync {
    /// The files, as many as there are now.
    fn paths(&self) -> Vec<PathBuf>;

    /// How they looked just before they were read for the first time.
    fn seen(&self) -> Look;

    /// Reads them again and puts what they hold in the place of what they held. What an operator should see to is returned.
    ///
    /// # Errors
    /// Every problem. Then nothing has changed.
    fn read_again(&self, now: SystemTime) -> Result<Vec<String>, Vec<String>>;
}

/// What is watched, by the name that lines in the log give it.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    /// As in `listener web: certificates`.
    pub(crate) name: String,
    pub(crate) made: Arc<dyn FromFiles>,
}

/// How files look: enough to tell that one was written, replaced, or is reached over another link.
///
/// Links are followed to their end. So a swap is seen wherever it happens on the way: at `..data` of a mounted secret, at
/// `live/` of an ACME client, or at a folder above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look(Vec<(PathBuf, Option<Mark>)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Also when it was renamed or had its mode changed, which a copied modification time does not show.
    changed: (i64, i64),
}

impl Look {
    /// Looks at files.
    pub(crate) fn at(paths: &[PathBuf]) -> Self {
        let mark = |path: &PathBuf| fs::metadata(path).ok().map(|metadata| Mark::of(&metadata));
        Self(paths.iter().map(|path| (path.clone(), mark(path))).collect())
    }
}

impl Mark {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What became of a change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// There is none.
    None,
    /// There is one, which may go on: whoever writes several files should be done first.
    Settling,
    /// What the files hold is in use, with these warnings.
    Taken(Vec<String>),
    /// The files cannot be used, and what they held before goes on.
    Refused(Vec<String>),
}

/// Something that is watched, and how its files looked when they were last read.
#[derive(Debug)]
pub(crate) struct Watch {
    watched: Watched,
    seen: Look,
    settling: Option<Look>,
}

impl Watch {
    /// Begins to watch: what has changed since the files were read is seen as well.
    pub(crate) fn new(watched: Watched) -> Self {
        Self { seen: watched.made.seen(), watched, settling: None }
    }

    /// What lines in the log call it.
    pub(crate) fn name(&self) -> &str {
        &self.watched.name
    }

    /// Looks, and reads what has changed once it looks the same twice. Files that cannot be used are not tried again before
    /// they change again.
    pub(crate) fn look(&mut self, now: SystemTime) -> Change {
        let look = Look::at(&self.watched.made.paths());
        if look == self.seen {
            self.settling = None;
            return Change::None;
        }
        if self.settling.as_ref() != Some(&look) {
            self.settling = Some(look);
            return Change::Settling;
        }
        self.settling = None;
        self.seen = look;
        match self.watched.made.read_again(now) {
            Ok(warnings) => Change::Taken(warnings),
            Err(problems) => Change::Refused(problems),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::sync::Mutex;

    use super::*;

    /// What is in a file, unless it is `broken`.
    #[derive(Debug)]
    struct Text {
        file: PathBuf,
        seen: Look,
        read: Mutex<String>,
    }

    impl Text {
        fn new(file: &Path) -> Arc<Self> {
            let seen = Look::at(&[file.to_owned()]);
            let read = Mutex::new(fs::read_to_string(file).unwrap());
            Arc::new(Self { file: file.to_owned(), seen, read })
        }
    }

    impl FromFiles for Text {
        fn paths(&self) -> Vec<PathBuf> {
            vec![self.file.clone()]
        }

        fn seen(&self) -> Look {
            self.seen.clone()
        }

        fn read_again(&self, _: SystemTime) -> Result<Vec<String>, Vec<String>> {
            let text = fs::read_to_string(&self.file).map_err(|error| vec![error.to_string()])?;
            if text == "broken" {
                return Err(vec![text]);
            }
            *self.read.lock().unwrap() = text;
            Ok(Vec::new())
        }
    }

    fn watch(text: &Arc<Text>) -> Watch {
        Watch::new(Watched { name: "text".into(), made: Arc::clone(text) as Arc<_> })
    }

    fn settled(watch: &mut Watch) -> Change {
        assert_eq!(watch.look(SystemTime::now()), Change::Settling);
        watch.look(SystemTime::now())
    }

    #[test]
    fn a_file_is_read_again_when_it_is_written_replaced_or_another_is_linked_to() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("..first")).unwrap();
        fs::write(at("..first/file"), "1").unwrap();
        symlink("..first", at("..data")).unwrap();
        symlink("..data/file", at("file")).unwrap();
        let text = Text::new(&at("file"));
        let mut watch = watch(&text);
        assert_eq!(watch.look(SystemTime::now()), Change::None);

        fs::write(at("..first/file"), "written").unwrap();
        assert_eq!(settled(&mut watch), Change::Taken(Vec::new()));
        assert_eq!(*text.read.lock().unwrap(), "written");

        fs::write(at("..first/new"), "renamed").unwrap();
        fs::rename(at("..first/new"), at("..first/file")).unwrap();
        assert_eq!(settled(&mut watch), Change::Taken(Vec::new()));
        assert_eq!(*text.read.lock().unwrap(), "renamed");

        fs::create_dir(at("..second")).unwrap();
        fs::write(at("..second/file"), "swapped").unwrap();
        symlink("..second", at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
        assert_eq!(settled(&mut watch), Change::Taken(Vec::new()));
        assert_eq!(*text.read.lock().unwrap(), "swapped");
    }

    #[test]
    fn what_cannot_be_used_is_told_once_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "good").unwrap();
        let text = Text::new(&file);
        let mut watch = watch(&text);
        fs::write(&file, "broken").unwrap();
        assert_eq!(settled(&mut watch), Change::Refused(vec!["broken".into()]));
        assert_eq!(watch.look(SystemTime::now()), Change::None);
        assert_eq!(*text.read.lock().unwrap(), "good");

        fs::remove_file(&file).unwrap();
        assert!(matches!(settled(&mut watch), Change::Refused(_)));
        fs::write(&file, "better").unwrap();
        assert_eq!(settled(&mut watch), Change::Taken(Vec::new()));
        assert_eq!(*text.read.lock().unwrap(), "better");
    }

    #[test]
    fn a_change_that_goes_on_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let text = Text::new(&file);
        let mut watch = watch(&text);
        for length in 1..5 {
            fs::write(&file, "x".repeat(length)).unwrap();
            assert_eq!(watch.look(SystemTime::now()), Change::Settling);
        }
        assert_eq!(watch.look(SystemTime::now()), Change::Taken(Vec::new()));
        assert_eq!(*text.read.lock().unwrap(), "xxxx");
    }
}
