//! PROXY protocol headers, good and bad, each with the clause it stands for.
