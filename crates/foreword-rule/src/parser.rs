//! Tokens to the tree that they mean: `||` binds weakest, then `&&`, then `!`.

use std::ops::Range;

use crate::lexer::{Token, TokenKind, lex};
use crate::variable::{self, Variable};
use crate::{RuleError, suggest};

/// A condition as it was written, with names known but types unchecked.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    pub(crate) span: Range<usize>,
    pub(crate) join: Written,
}

#[derive(Clone, Debug)]
pub(crate) enum Written {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Test(Comparison),
}

/// A variable, how it is compared, and with what.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    pub(crate) variable: Variable,
    pub(crate) variable_span: Range<usize>,
    pub(crate) operator: Operator,
    pub(crate) operator_span: Range<usize>,
    pub(crate) operand: Operand,
    pub(crate) operand_span: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Is,
    IsNot,
    In,
    StartsWith,
    EndsWith,
    Contains,
    Under,
    Matches,
}

#[derive(Clone, Debug)]
pub(crate) enum Operand {
    One(Literal),
    Several(Vec<(Literal, Range<usize>)>),
    List(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Literal {
    Text(String),
    Number(u64),
}

/// Parses a whole rule.
pub(crate) fn parse(text: &str) -> Result<Expression, RuleError> {
    if text.len() > MAX_LEN {
        let end = text.len();
        return Err(RuleError::expected(0..end, format_args!("a rule of at most {MAX_LEN} bytes"), end));
    }
    let mut parser = Parser { tokens: lex(text)?.into_iter().peekable(), depth: 0, last_end: 0 };
    let expression = parser.any()?;
    match parser.next()? {
        Token { kind: TokenKind::End, .. } => Ok(expression),
        Token { kind: TokenKind::Close, span } => {
            Err(RuleError::expected(span, "`(` before it", "`)` alone"))
        }
        Token { kind, span } => {
            Err(joining_word(RuleError::expected(span, "`&&`, `||` or the end", &kind), &kind))
        }
    }
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
    last_end: usize,
}

impl Parser {
    fn any(&mut self) -> Result<Expression, RuleError> {
        self.joined(&TokenKind::Or, Self::all, Written::Any)
    }

    fn all(&mut self) -> Result<Expression, RuleError> {
        self.joined(&TokenKind::And, Self::not, Written::All)
    }

    fn joined(
        &mut self,
        sign: &TokenKind,
        part: fn(&mut Self) -> Result<Expression, RuleError>,
        join: fn(Vec<Expression>) -> Written,
    ) -> Result<Expression, RuleError> {
        let first = part(self)?;
        if self.peek() != sign {
            return Ok(first);
        }
        let start = first.span.start;
        let mut parts = vec![first];
        while self.take(sign) {
            parts.push(part(self)?);
        }
        Ok(Expression { span: start..self.last_end, join: join(parts) })
    }

    fn not(&mut self) -> Result<Expression, RuleError> {
        let token = self.next()?;
        match token.kind {
            TokenKind::Not => {
                let part = self.deeper(&token.span, Self::not)?;
                Ok(Expression { span: token.span.start..self.last_end, join: Written::Not(Box::new(part)) })
            }
            TokenKind::Open => {
                let inner = self.deeper(&token.span, Self::any)?;
                let close = self.next()?;
                match close.kind {
                    TokenKind::Close => Ok(Expression { span: token.span.start..close.span.end, ..inner }),
                    kind => {
                        let error = RuleError::expected(close.span, "`)`, `&&` or `||`", &kind);
                        Err(joining_word(error, &kind))
                    }
                }
            }
            TokenKind::Word(word) => self.comparison(word, token.span),
            kind => Err(RuleError::expected(token.span, "a variable, `!` or `(`", &kind)),
        }
    }

    fn deeper(
        &mut self,
        span: &Range<usize>,
        part: fn(&mut Self) -> Result<Expression, RuleError>,
    ) -> Result<Expression, RuleError> {
        if self.depth == MAX_DEPTH {
            let most = format_args!("at most {MAX_DEPTH} levels of `(` and `!`");
            return Err(RuleError::expected(span.clone(), most, "more"));
        }
        self.depth += 1;
        let inner = part(self);
        self.depth -= 1;
        inner
    }

    fn comparison(&mut self, word: String, first: Range<usize>) -> Result<Expression, RuleError> {
        let start = first.start;
        if *self.peek() == TokenKind::OpenIndex {
            let variable = self.indexed(&word, &first)?;
            let variable_span = start..self.last_end;
            let method = if self.take(&TokenKind::Dot) { Some(self.method_name()?) } else { None };
            return self.compared(variable, variable_span, method);
        }
        let mut words = vec![(word, first)];
        while self.take(&TokenKind::Dot) {
            words.push(self.method_name()?);
        }
        let method = if *self.peek() == TokenKind::Open && words.len() > 1 { words.pop() } else { None };
        let end = words.last().map_or(start, |(_, span)| span.end);
        let name = words.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>().join(".");
        match Variable::for_rule(&name) {
            Some(variable) => self.compared(variable, start..end, method),
            None => Err(unknown_variable(&name, start..end, method)),
        }
    }

    /// `tlv[0xE1]` or `field["name"]`, from the bracket on.
    fn indexed(&mut self, word: &str, span: &Range<usize>) -> Result<Variable, RuleError> {
        self.next()?;
        let index = self.next()?;
        let made = match (word, &index.kind) {
            ("tlv", TokenKind::Number(kind)) => variable::tlv_kind(&kind.to_string()).map(Variable::Tlv),
            ("field", TokenKind::Text(name)) => variable::field(name),
            ("tlv", kind) => Err(format!("expected the kind of a TLV, such as `0xE1`, found {kind}")),
            ("field", kind) => Err(format!("expected the name of a field in quotes, found {kind}")),
            (other, _) => {
                let error = RuleError::expected(
                    span.clone(),
                    "`tlv` or `field` before `[`",
                    format_args!("`{other}`"),
                );
                return Err(error.did_you_mean(suggest(other, ["tlv", "field"])));
            }
        };
        let variable = made.map_err(|message| RuleError::new(index.span, message))?;
        self.expect(&TokenKind::CloseIndex)?;
        Ok(variable)
    }

    fn method_name(&mut self) -> Result<(String, Range<usize>), RuleError> {
        let token = self.next()?;
        match token.kind {
            TokenKind::Word(word) => Ok((word, token.span)),
            kind => Err(RuleError::expected(token.span, "a name after `.`", &kind)),
        }
    }

    fn compared(
        &mut self,
        variable: Variable,
        variable_span: Range<usize>,
        method: Option<(String, Range<usize>)>,
    ) -> Result<Expression, RuleError> {
        let start = variable_span.start;
        let (operator, operator_span, operand, operand_span) = match method {
            Some((name, span)) => {
                let operator = method_operator(&name, &span)?;
                self.expect(&TokenKind::Open)?;
                let (literal, literal_span) = self.literal("text in quotes")?;
                self.expect(&TokenKind::Close)?;
                (operator, span, Operand::One(literal), literal_span)
            }
            None => {
                let token = self.next()?;
                let (operand, span) = match token.kind {
                    TokenKind::Is | TokenKind::IsNot => {
                        let (literal, span) = self.literal("text in quotes or a number")?;
                        (Operand::One(literal), span)
                    }
                    TokenKind::Word(ref word) if word == "in" => self.members()?,
                    kind => return Err(no_comparison(&variable, token.span, &kind)),
                };
                let operator = match token.kind {
                    TokenKind::Is => Operator::Is,
                    TokenKind::IsNot => Operator::IsNot,
                    _ => Operator::In,
                };
                (operator, token.span, operand, span)
            }
        };
        let join = Written::Test(Comparison {
            variable,
            variable_span,
            operator,
            operator_span,
            operand,
            operand_span,
        });
        Ok(Expression { span: start..self.last_end, join })
    }

    /// What follows `in`.
    fn members(&mut self) -> Result<(Operand, Range<usize>), RuleError> {
        let token = self.next()?;
        let expected = "a list such as `[\"a\", \"b\"]` or `@name` after `in`";
        match token.kind {
            TokenKind::List(name) => Ok((Operand::List(name), token.span)),
            TokenKind::OpenIndex => {
                let mut members = Vec::new();
                loop {
                    if !members.is_empty() && self.take(&TokenKind::CloseIndex) {
                        break;
                    }
                    members.push(self.literal("an entry of the list")?);
                    if !self.take(&TokenKind::Comma) {
                        self.expect(&TokenKind::CloseIndex)?;
                        break;
                    }
                }
                Ok((Operand::Several(members), token.span.start..self.last_end))
            }
            TokenKind::Word(word) => Err(RuleError::expected(token.span, expected, format_args!("`{word}`"))
                .with_hint(format!("a list of the file is written with `@`: `in @{word}`"))),
            TokenKind::Text(text) => {
                let found = TokenKind::Text(text.clone());
                Err(RuleError::expected(token.span, expected, found)
                    .with_hint(format!("write `in [\"{text}\"]`")))
            }
            kind => Err(RuleError::expected(token.span, expected, &kind)),
        }
    }

    fn literal(&mut self, expected: &str) -> Result<(Literal, Range<usize>), RuleError> {
        let token = self.next()?;
        match token.kind {
            TokenKind::Text(text) => Ok((Literal::Text(text), token.span)),
            TokenKind::Number(number) => Ok((Literal::Number(number), token.span)),
            TokenKind::Word(word) => Err(RuleError::expected(token.span, expected, format_args!("`{word}`"))
                .with_hint(format!("text is written in quotes: `\"{word}\"`"))),
            TokenKind::List(name) => {
                Err(RuleError::expected(token.span, expected, format_args!("the list `@{name}`"))
                    .with_hint(format!("lists are asked with `in`: `in @{name}`")))
            }
            kind => Err(RuleError::expected(token.span, expected, &kind)),
        }
    }

    fn peek(&mut self) -> &TokenKind {
        self.tokens.peek().map_or(&TokenKind::End, |token| &token.kind)
    }

    /// The next token. Asking again behind the end is an error of the text too: something is missing there.
    fn next(&mut self) -> Result<Token, RuleError> {
        let end = self.last_end;
        let token = self.tokens.next().ok_or_else(|| RuleError::expected(end..end, "more", "the end"))?;
        self.last_end = token.span.end;
        Ok(token)
    }

    fn take(&mut self, kind: &TokenKind) -> bool {
        let taken = self.tokens.next_if(|token| token.kind == *kind);
        if let Some(token) = &taken {
            self.last_end = token.span.end;
        }
        taken.is_some()
    }

    fn expect(&mut self, kind: &TokenKind) -> Result<(), RuleError> {
        let token = self.next()?;
        if token.kind == *kind { Ok(()) } else { Err(RuleError::expected(token.span, kind, &token.kind)) }
    }
}

fn method_operator(name: &str, span: &Range<usize>) -> Result<Operator, RuleError> {
    match METHODS.iter().find(|&&(known, _)| known == name) {
        Some(&(_, operator)) => Ok(operator),
        None => {
            let names = METHODS.iter().map(|&(known, _)| known);
            let expected = format!(
                "one of {}",
                names.clone().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            );
            let near = suggest(name, names);
            Err(RuleError::expected(span.clone(), expected, format_args!("`{name}`")).did_you_mean(near))
        }
    }
}

fn unknown_variable(name: &str, span: Range<usize>, method: Option<(String, Range<usize>)>) -> RuleError {
    let error =
        RuleError::expected(span, "a variable such as `client.ip` or `host`", format_args!("`{name}`"));
    match name.split_once('.') {
        Some(("field" | "fields" | "header" | "headers", field)) => {
            error.with_hint(format!("a request field is written `field[\"{}\"]`", field.replace('_', "-")))
        }
        _ if matches!(name, "field" | "header") => {
            error.with_hint("a request field is written `field[\"name\"]`")
        }
        _ if name == "tlv" => {
            error.with_hint("a TLV is written by name, as `tlv.authority`, or by kind, as `tlv[0xE1]`")
        }
        _ if matches!(name, "uri" | "url") => error.with_hint("a rule asks `path` and `query`"),
        _ if matches!(name, "not") => error.with_hint("not is written `!`"),
        _ => {
            let whole = method.map_or_else(|| name.to_owned(), |(method, _)| format!("{name}.{method}"));
            let near = suggest(name, Variable::names()).or_else(|| suggest(&whole, Variable::names()));
            error.did_you_mean(near)
        }
    }
}

fn no_comparison(variable: &Variable, span: Range<usize>, kind: &TokenKind) -> RuleError {
    let expected = format!("`==`, `!=`, `in` or a method after `{variable}`");
    let error = RuleError::expected(span, expected, kind);
    match kind {
        TokenKind::Word(word) if METHODS.iter().any(|(name, _)| name == word) => {
            error.with_hint(format!("write `{variable}.{word}(\"…\")`"))
        }
        _ => error,
    }
}

fn joining_word(error: RuleError, kind: &TokenKind) -> RuleError {
    match kind {
        TokenKind::Word(word) if word.eq_ignore_ascii_case("and") => error.with_hint("and is written `&&`"),
        TokenKind::Word(word) if word.eq_ignore_ascii_case("or") => error.with_hint("or is written `||`"),
        _ => error,
    }
}

pub(crate) const METHODS: &[(&str, Operator)] = &[
    ("starts_with", Operator::StartsWith),
    ("ends_with", Operator::EndsWith),
    ("contains", Operator::Contains),
    ("under", Operator::Under),
    ("matches", Operator::Matches),
];

/// Ample for a rule that a person wrote; longer lists belong into a file.
const MAX_LEN: usize = 8 * 1024;
/// Deeper nesting than anyone can read; it bounds our own recursion.
const MAX_DEPTH: usize = 32;
