package model

// Record is one entry of a drive's log: exactly one of the pointers is set. Its revision is the entry's own; applying a record
// twice, or older records after newer ones, gives the same state as applying each once in order.
type Record struct {
	Rev      Rev
	Inode    *Inode
	Dirent   *Dirent
	Xattr    *Xattr
	Extents  *Extents
	Pack     *PackRecord
	DropPack *PackID
	Forget   *Forget
}

// Xattr is one extended attribute of an inode.
type Xattr struct {
	Ino     Ino
	Name    string
	Value   []byte
	Removed bool
}

// Extents are the places at which a revision changed where an inode's bytes lie. An entry of length 0 says that no extent
// starts at its offset any more; what no extent covers is a hole.
type Extents struct {
	Ino  Ino
	List []Extent
}

// PackRecord is a pack with the chunks that it holds.
type PackRecord struct {
	Pack   Pack
	Chunks []Chunk
}

// Forget says that the revisions of an inode are gone: one of them (Rev of the target), or all (0).
type Forget struct {
	Ino Ino
	Of  Rev
}
