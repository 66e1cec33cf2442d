//! Rule text cut into words, strings and signs, each with its place.

use std::fmt;
use std::ops::Range;

use crate::RuleError;
use crate::error::shown;

/// A word, string or sign, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Word(String),
    Text(String),
    Number(u64),
    /// `@name`.
    List(String),
    Is,
    IsNot,
    And,
    Or,
    Not,
    Dot,
    Comma,
    Open,
    Close,
    OpenIndex,
    CloseIndex,
    End,
}

impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self {
            Self::Word(word) => return write!(f, "`{word}`"),
            Self::Text(text) => return write!(f, "the text \"{}\"", shown(text)),
            Self::Number(number) => return write!(f, "the number {number}"),
            Self::List(name) => return write!(f, "the list `@{name}`"),
            Self::End => return f.write_str("the end"),
            Self::Is => "==",
            Self::IsNot => "!=",
            Self::And => "&&",
            Self::Or => "||",
            Self::Not => "!",
            Self::Dot => ".",
            Self::Comma => ",",
            Self::Open => "(",
            Self::Close => ")",
            Self::OpenIndex => "[",
            Self::CloseIndex => "]",
        };
        write!(f, "`{sign}`")
    }
}

/// Cuts the whole text; the last token is [`TokenKind::End`].
pub(crate) fn lex(text: &str) -> Result<Vec<Token>, RuleError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next()?;
        let last = token.kind == TokenKind::End;
        tokens.push(token);
        if last {
            return Ok(tokens);
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    fn next(&mut self) -> Result<Token, RuleError> {
        self.take_while(|letter| letter.is_ascii_whitespace());
        let start = self.at;
        let kind = match self.peek() {
            None => TokenKind::End,
            Some('"') => self.string()?,
            Some('@') => self.list()?,
            Some('0'..='9') => self.number()?,
            Some('a'..='z' | 'A'..='Z' | '_') => TokenKind::Word(self.word()),
            Some(sign) => self.sign(sign)?,
        };
        Ok(Token { kind, span: start..self.at })
    }

    fn string(&mut self) -> Result<TokenKind, RuleError> {
        let start = self.at;
        self.bump();
        let mut text = String::new();
        loop {
            match self.bump() {
                Some('"') => return Ok(TokenKind::Text(text)),
                // A backslash only escapes a quote or itself, so that patterns read as they do elsewhere.
                Some('\\') => match self.peek() {
                    Some(escaped @ ('"' | '\\')) => {
                        self.bump();
                        text.push(escaped);
                    }
                    _ => text.push('\\'),
                },
                Some(letter) => text.push(letter),
                None => {
                    return Err(RuleError::expected(
                        start..self.at,
                        "`\"` at the end of the text",
                        "the end of the rule",
                    ));
                }
            }
        }
    }

    fn list(&mut self) -> Result<TokenKind, RuleError> {
        let start = self.at;
        self.bump();
        let name = self.take_while(|letter| letter.is_alphanumeric() || letter == '_' || letter == '-');
        match name {
            "" => Err(RuleError::expected(start..self.at, "the name of a list after `@`", "none")),
            name => Ok(TokenKind::List(name.to_owned())),
        }
    }

    fn number(&mut self) -> Result<TokenKind, RuleError> {
        let start = self.at;
        let written = self.take_while(|letter| letter.is_ascii_alphanumeric());
        let number = match written.strip_prefix("0x").or_else(|| written.strip_prefix("0X")) {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => written.parse(),
        };
        let address = matches!(self.peek(), Some('.' | ':' | '/'));
        match number {
            Ok(number) if !address => Ok(TokenKind::Number(number)),
            _ => {
                let rest =
                    self.take_while(|letter| letter.is_ascii_hexdigit() || matches!(letter, '.' | ':' | '/'));
                let error =
                    RuleError::expected(start..self.at, "a number", format_args!("`{written}{rest}`"));
                let hint = "addresses are written in quotes: `client.ip in [\"10.0.0.0/8\"]`";
                Err(if rest.is_empty() { error } else { error.with_hint(hint) })
            }
        }
    }

    fn word(&mut self) -> String {
        self.take_while(|letter| letter.is_ascii_alphanumeric() || letter == '_').to_owned()
    }

    fn sign(&mut self, sign: char) -> Result<TokenKind, RuleError> {
        let start = self.at;
        self.bump();
        let doubled = self.peek();
        let (kind, width) = match (sign, doubled) {
            ('=', Some('=')) => (TokenKind::Is, 2),
            ('!', Some('=')) => (TokenKind::IsNot, 2),
            ('&', Some('&')) => (TokenKind::And, 2),
            ('|', Some('|')) => (TokenKind::Or, 2),
            ('!', _) => (TokenKind::Not, 1),
            ('.', _) => (TokenKind::Dot, 1),
            (',', _) => (TokenKind::Comma, 1),
            ('(', _) => (TokenKind::Open, 1),
            (')', _) => (TokenKind::Close, 1),
            ('[', _) => (TokenKind::OpenIndex, 1),
            (']', _) => (TokenKind::CloseIndex, 1),
            _ => return Err(wrong_sign(start..self.at, sign)),
        };
        if width == 2 {
            self.bump();
        }
        Ok(kind)
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..).and_then(|rest| rest.chars().next())
    }

    fn bump(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += letter.len_utf8();
        Some(letter)
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'t str {
        let start = self.at;
        while self.peek().is_some_and(&fits) {
            self.bump();
        }
        self.text.get(start..self.at).unwrap_or_default()
    }
}

fn wrong_sign(span: Range<usize>, sign: char) -> RuleError {
    let error = RuleError::expected(
        span,
        "a variable or an operator",
        format_args!("`{}`", shown(sign.encode_utf8(&mut [0; 4]))),
    );
    match sign {
        '=' => error.with_hint("did you mean `==`?"),
        '&' => error.with_hint("did you mean `&&`?"),
        '|' => error.with_hint("did you mean `||`?"),
        '\'' => error.with_hint("text is written in double quotes: `host == \"www.example.com\"`"),
        '<' | '>' => error.with_hint("a rule compares with `==`, `!=` and `in`"),
        '~' => error.with_hint("patterns are written as `path.matches(\"…\")`"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<TokenKind> {
        lex(text).expect("good text").into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn a_backslash_escapes_only_a_quote_and_itself() {
        assert_eq!(kinds(r#""a\"b\\c\d""#), [TokenKind::Text(r#"a"b\c\d"#.to_owned()), TokenKind::End]);
    }

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!(kinds("225 0xE1"), [TokenKind::Number(225), TokenKind::Number(225), TokenKind::End]);
    }

    #[test]
    fn signs_need_no_spaces() {
        let list = TokenKind::List("a-b".to_owned());
        assert_eq!(
            kinds("!(@a-b)&&"),
            [TokenKind::Not, TokenKind::Open, list, TokenKind::Close, TokenKind::And, TokenKind::End]
        );
    }

    #[test]
    fn a_bare_address_is_told_to_wear_quotes() {
        for text in ["10.0.0.0/8", "2001:db8::/32"] {
            let error = lex(text).expect_err("no number");
            assert_eq!(error.span(), 0..text.len());
            assert!(error.hint().is_some_and(|hint| hint.contains("quotes")));
        }
    }

    #[test]
    fn an_open_text_is_underlined_to_its_end() {
        let error = lex(r#"host == "www"#).expect_err("the quote is missing");
        assert_eq!(error.span(), 8..12);
    }
}
