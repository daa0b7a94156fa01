// Package deploy holds what operators run Assent with: Dockerfile, Compose file,
// dashboard, unit. There is no code in it but the tests of these files.
package deploy
