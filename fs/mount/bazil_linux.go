package mount

// bazilHelper tells whether the program exists by which the library mounts, also for root.
func bazilHelper() error {
	_, err := fusermount()
	return err
}

// ready makes the kernel stop polling.
func (b *bazil) ready() error { return stopPolls(b.dir, bazilPollName) }
