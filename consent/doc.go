// Package consent is the ledger of what people said, and the one place that is
// asked whether their data may be used.
//
// A tenant's ledger is a list of entries that is only ever added to. A person's
// state is a fold over their entries (state.go); a decision is a function of
// that state, the policy in force and the database's clock (decide.go); a
// Permit is proof that the ledger was asked (permit.go), from state at least as
// new as everything acknowledged before. Masks keep everyone's verdict for a
// purpose, so that an index need not ask about each person (mask.go).
//
// It promises P1 and P2 of the design: what cannot be read is denied, and what
// was acknowledged is seen by every question that begins later. It does not
// know where rows and keys rest: Store and Vault are its ports (ports.go), and
// Ledger documents the order of a write and what a crash in between leaves.
//
// Nothing here prints a person: a Subject holds a handle that no formatting
// verb looks through, errors name fields and never values, and identifiers and
// audit rest sealed under the person's own key (row.go).
package consent
