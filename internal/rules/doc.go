// Package rules holds no code: its tests are the rules of the tree, so that
// breaking one breaks the build. They say which package may know which, and
// what no package may do.
package rules
