// Package seal turns keys and bytes into bytes that say nothing, and back.
// It holds no state, does no I/O, and uses the standard library only.
//
// It promises:
//
//   - Sealing commits to its key. AES-GCM alone does not (FACTS §3): whoever
//     knows two keys can make one ciphertext that opens under both, to two
//     different texts. Every box here carries a hash of its key, compared
//     before anything is decrypted, so that a box opens under one key only.
//     It commits to the key, not to plaintext or additional data: someone who
//     holds the key can still make two texts with the same tag.
//   - Derivations do not collide: label and context are length-prefixed, so
//     no two different inputs give the same bytes to the hash.
//   - A [Combine] of several keys is gone when any one of them is gone.
//   - A [Key] does not print: see there for the two places where only its
//     holder can see to that.
//   - Refusals are one error, [ErrOpen], which does not say what was wrong.
//
// It does not promise that keys leave memory: Go copies values, and the
// garbage collector does not clear what it frees. [Key.Zero] clears one copy.
// It does not hide lengths: a box is [Overhead] longer than its plaintext.
package seal
