// Package posixtest is a suite of POSIX cases that runs over any folder on the real kernel. The tests of fs/mount run it over both
// adapters, and over a local filesystem first, which proves the cases themselves right.
//
// # Nouns
//
// A case has a name (group/what) and gets a folder of its own and a T. A pin names a case that a filesystem is known to fail: it
// must fail; a pinned case that passes is an error, so that pins can't rot.
//
// # Running
//
// Run must be called by root: cases act as other users. The test binary starts itself again where a case needs another process, so
// TestMain has to call Main first. Cases run one after another; none sleeps to synchronise. With CCDRIVE_POSIX_LONG set,
// folders of 100,000 entries are listed instead of 10,000.
package posixtest
