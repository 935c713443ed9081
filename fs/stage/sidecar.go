package stage

func (n *node) writeSidecars() error { return nil }
