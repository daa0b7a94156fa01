// Package testweaviate starts Weaviate servers for tests: the real one, in a
// directory of its own, on free ports of 127.0.0.1 (its gRPC and cluster ports
// listen on every interface: the server offers no setting for that).
//
// The server dies with the test's process, however that ends. Where there is
// none, tests are skipped and say so, or fail where ASSENT_REQUIRE=all.
// ASSENT_WEAVIATE_BIN names another program than the one that
// scripts/get-weaviate builds into the user's cache directory.
package testweaviate
