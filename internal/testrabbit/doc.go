// Package testrabbit starts RabbitMQ servers for tests: the real one, in a
// directory of its own, on free ports of 127.0.0.1, without plugins. Each has a
// node name and an epmd (the name service of Erlang) of its own, so that any
// number of them, and one that is installed, do not meet.
//
// Server and epmd die with the test's process, however that ends. Where there
// is none, tests are skipped and say so, or fail where ASSENT_REQUIRE=all.
// ASSENT_RABBITMQ_ROOT names another tree than the one that
// scripts/get-rabbitmq unpacks into the user's cache directory.
package testrabbit
