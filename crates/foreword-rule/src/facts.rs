//! What a rule may ask about a connection and a request.

use std::net::IpAddr;

use crate::Variable;

/// Answers for the variables of a rule.
///
/// A predicate asks each variable through the method of its [`Kind`](crate::Kind) and nothing else. `None` says that there
/// is no such value: no header, no SNI, no query. Every comparison with it is false.
pub trait Facts {
    /// The value of a variable of kind [`Kind::Ip`](crate::Kind::Ip).
    fn ip(&self, variable: &Variable) -> Option<IpAddr>;

    /// The value of a variable of kind [`Kind::Number`](crate::Kind::Number).
    fn number(&self, variable: &Variable) -> Option<u64>;

    /// The value of a variable of kind [`Kind::Text`](crate::Kind::Text), as bytes: nothing says that they are UTF-8.
    /// Never asked for [`Variable::Field`] or [`Variable::Uri`].
    fn text(&self, variable: &Variable) -> Option<&[u8]>;

    /// Whether `test` holds for any occurrence of a request field. `name` is in lower case; the answer stops at the first
    /// occurrence that holds.
    fn any_field(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}
