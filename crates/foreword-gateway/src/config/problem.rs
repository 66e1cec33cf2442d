//! What is wrong with a file, where, and what to do about it.

use std::fmt;

use crate::refusal::Code;

/// One thing that is wrong, or probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    file: Box<str>,
    /// Line and column, from 1; 0 stands for the file as a whole.
    position: (usize, usize),
    context: Box<str>,
    message: Box<str>,
    hint: Option<Box<str>>,
    kind: ProblemKind,
}

/// Which sort of problem it is; each has a code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// A file cannot be read: FW601.
    Unreadable,
    /// A file is not TOML: FW602.
    Syntax,
    /// The file says something that cannot be: FW603.
    Wrong,
    /// A certificate or key is broken: FW604.
    Certificate,
}

impl ProblemKind {
    /// Its code, for `foreword explain`.
    pub fn code(self) -> Code {
        match self {
            Self::Unreadable => Code::FileUnreadable,
            Self::Syntax => Code::FileNotToml,
            Self::Wrong => Code::FileWrong,
            Self::Certificate => Code::CertificateOrKey,
        }
    }
}

impl Problem {
    pub(crate) fn of_file(file: impl fmt::Display, kind: ProblemKind, message: impl Into<Box<str>>) -> Self {
        Self {
            file: file.to_string().into(),
            position: (0, 0),
            context: Box::default(),
            message: message.into(),
            hint: None,
            kind,
        }
    }

    pub(crate) fn at(mut self, position: (usize, usize), context: &str) -> Self {
        self.position = position;
        self.context = context.into();
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<Box<str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn maybe_hint(self, hint: Option<impl Into<Box<str>>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    pub(crate) fn did_you_mean(self, word: Option<&str>) -> Self {
        self.maybe_hint(word.map(|word| format!("did you mean `{word}`?")))
    }

    pub(crate) fn of(self, kind: ProblemKind) -> Self {
        Self { kind, ..self }
    }

    /// Which sort of problem it is.
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// Whether it is about a file or certificate that this machine lacks and another may have.
    pub fn is_of_this_machine(&self) -> bool {
        matches!(self.kind, ProblemKind::Certificate | ProblemKind::Unreadable)
    }

    /// The file as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Line and column, from 1, unless the file as a whole is meant.
    pub fn position(&self) -> Option<(usize, usize)> {
        (self.position.0 > 0).then_some(self.position)
    }

    /// Which part of the configuration it is about, such as ``listener `web` ``; empty for the file as a whole.
    pub fn part(&self) -> &str {
        &self.context
    }

    /// What was expected and what was found.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, without the word `hint:`.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.position() {
            write!(f, ":{line}:{column}")?;
        }
        if !self.context.is_empty() {
            write!(f, ": {}", self.context)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

/// Everything that is wrong with a file, in the order of the places. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Sorts them; `None` if there is none.
    pub(crate) fn of(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort_by(|one, other| (&one.file, one.position).cmp(&(&other.file, other.position)));
        problems.dedup();
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
