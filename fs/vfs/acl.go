package vfs

import (
	"encoding/binary"
	"errors"
	"syscall"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// POSIX ACLs are kept as they are given, but they and the permission bits are one thing seen from two sides (acl(5)): an access ACL sets the
// bits, and chmod changes the ACL. Without that, `cp -a` and `rsync -A`, which set modes through ACLs, would leave files with wrong modes.
const (
	accessACL  = "system.posix_acl_access"
	defaultACL = "system.posix_acl_default"
)

// Tags of ACL entries and the form of the attribute, as in Linux's posix_acl_xattr.h: version (uint32), then entries of tag and permissions
// (uint16 each) and id (uint32), little-endian.
const (
	aclVersion = 2
	aclHeader  = 4
	aclEntry   = 8

	aclUserObj  = 0x01
	aclGroupObj = 0x04
	aclMask     = 0x10
	aclOther    = 0x20
)

// acl is the attribute's value; its entries are changed in place.
type acl []byte

// parseACL checks the form; an ACL has at least an owner, a group and others.
func parseACL(value []byte) (acl, syscall.Errno) {
	if len(value) < aclHeader || (len(value)-aclHeader)%aclEntry != 0 || binary.LittleEndian.Uint32(value) != aclVersion {
		return nil, syscall.EINVAL
	}
	a := acl(value)
	if a.find(aclUserObj) < 0 || a.find(aclGroupObj) < 0 || a.find(aclOther) < 0 {
		return nil, syscall.EINVAL
	}
	return a, 0
}

// find is the place of the first entry with a tag; -1 when there is none.
func (a acl) find(tag uint16) int {
	for at := aclHeader; at < len(a); at += aclEntry {
		if binary.LittleEndian.Uint16(a[at:]) == tag {
			return at
		}
	}
	return -1
}

func (a acl) perm(tag uint16) uint32 {
	return uint32(binary.LittleEndian.Uint16(a[a.find(tag)+2:])) & 7
}

func (a acl) setPerm(tag uint16, perm uint32) {
	binary.LittleEndian.PutUint16(a[a.find(tag)+2:], uint16(perm&7))
}

// group is the tag that the group bits of the mode stand for: the mask where there is one.
func (a acl) group() uint16 {
	if a.find(aclMask) >= 0 {
		return aclMask
	}
	return aclGroupObj
}

// mode is the permission bits that the ACL stands for.
func (a acl) mode() uint32 {
	return a.perm(aclUserObj)<<6 | a.perm(a.group())<<3 | a.perm(aclOther)
}

// minimal tells whether the ACL says no more than the permission bits.
func (a acl) minimal() bool { return len(a) == aclHeader+3*aclEntry && a.find(aclMask) < 0 }

// setMode changes the entries that the permission bits stand for.
func (a acl) setMode(mode uint32) {
	a.setPerm(aclUserObj, mode>>6)
	a.setPerm(a.group(), mode>>3)
	a.setPerm(aclOther, mode)
}

// setAccessACL puts an access ACL into the batch and its bits into the record; one that says no more than the bits isn't kept.
func (fs *FS) setAccessACL(b *index.Batch, rec *model.Inode, value []byte, exists bool) syscall.Errno {
	a, errno := parseACL(value)
	if errno != 0 {
		return errno
	}
	rec.Mode = rec.Mode&^0o777 | a.mode()
	if a.minimal() {
		if exists {
			return fs.dropXattr(b, rec, accessACL)
		}
		return 0
	}
	b.SetXattr(rec.Ino, accessACL, value)
	rec.HasXattr = true
	return 0
}

// chmodACL makes an access ACL follow new permission bits.
func (fs *FS) chmodACL(b *index.Batch, rec *model.Inode) syscall.Errno {
	if !rec.HasXattr {
		return 0
	}
	value, err := fs.x.Now().Xattr(rec.Ino, accessACL)
	if errors.Is(err, index.ErrNotFound) {
		return 0
	}
	if err != nil {
		return fs.errno("read attribute", err)
	}
	a, errno := parseACL(append([]byte(nil), value...))
	if errno != 0 {
		return 0 // was kept before its form was checked
	}
	a.setMode(rec.Mode)
	b.SetXattr(rec.Ino, accessACL, a)
	return 0
}

// inheritACL gives a new inode what its folder's default ACL says: the access ACL, cut down to the mode that was asked for, and to a folder the
// default ACL too. Where there is none the umask counts.
func (fs *FS) inheritACL(b *index.Batch, c Caller, parent, rec *model.Inode) syscall.Errno {
	if rec.Type() == model.TypeSymlink {
		return 0
	}
	asked := rec.Mode
	rec.Mode &^= c.Umask & 0o777
	if !parent.HasXattr {
		return 0
	}
	value, err := fs.x.Now().Xattr(parent.Ino, defaultACL)
	if errors.Is(err, index.ErrNotFound) {
		return 0
	}
	if err != nil {
		return fs.errno("read attribute", err)
	}
	a, errno := parseACL(append([]byte(nil), value...))
	if errno != 0 {
		return 0
	}
	if rec.IsDir() {
		b.SetXattr(rec.Ino, defaultACL, value)
		rec.HasXattr = true
	}
	a.setMode(asked & a.mode())
	rec.Mode = asked&^0o777 | a.mode()
	if !a.minimal() {
		b.SetXattr(rec.Ino, accessACL, a)
		rec.HasXattr = true
	}
	return 0
}
