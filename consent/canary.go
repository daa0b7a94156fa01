package consent

// Canary is the number of nobody: a subject without a row, an entry or a key,
// who is denied for every purpose, in every jurisdiction, for ever. Passages that
// belong to it are put into every index (retrieval.Shape): one that comes out of
// a search was not kept back by the permit. Numbers of people are positive.
const Canary SubjectNum = -1

// never is the canary's verdict: as that of a person who was erased.
const never = Block | Erased
