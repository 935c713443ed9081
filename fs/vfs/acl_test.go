package vfs

import (
	"encoding/binary"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

// newACL makes an attribute value of (tag, permission, id) triples.
func newACL(entries ...[3]uint32) acl {
	a := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, e := range entries {
		a = binary.LittleEndian.AppendUint16(a, uint16(e[0]))
		a = binary.LittleEndian.AppendUint16(a, uint16(e[1]))
		a = binary.LittleEndian.AppendUint32(a, e[2])
	}
	return a
}

const anyID = 0xffffffff

func TestACLAndModeAreOne(t *testing.T) {
	minimal := newACL([3]uint32{aclUserObj, 6, anyID}, [3]uint32{aclGroupObj, 4, anyID}, [3]uint32{aclOther, 1, anyID})
	if a, errno := parseACL(minimal); errno != 0 || a.mode() != 0o641 || !a.minimal() {
		t.Fatalf("minimal: mode %#o, %v", a.mode(), errno)
	}
	full := newACL([3]uint32{aclUserObj, 7, anyID}, [3]uint32{0x02, 6, 1000}, [3]uint32{aclGroupObj, 7, anyID}, [3]uint32{aclMask, 5, anyID}, [3]uint32{aclOther, 0, anyID})
	a, errno := parseACL(full)
	if errno != 0 || a.mode() != 0o750 || a.minimal() {
		t.Fatalf("full: mode %#o, %v", a.mode(), errno)
	}
	a.setMode(0o624)
	if a.mode() != 0o624 || a.perm(aclGroupObj) != 7 || a.perm(aclMask) != 2 {
		t.Fatalf("after chmod: mode %#o, group %o, mask %o", a.mode(), a.perm(aclGroupObj), a.perm(aclMask))
	}
}

func TestMalformedACL(t *testing.T) {
	ok := newACL([3]uint32{aclUserObj, 6, anyID}, [3]uint32{aclGroupObj, 4, anyID}, [3]uint32{aclOther, 1, anyID})
	for name, v := range map[string][]byte{"empty": nil, "cut": ok[:len(ok)-1], "version": append([]byte{3, 0, 0, 0}, ok[4:]...), "no owner": ok[:4], "no others": ok[:len(ok)-8]} {
		if _, errno := parseACL(v); errno != syscall.EINVAL {
			t.Errorf("%s: %v, want EINVAL", name, errno)
		}
	}
}

func TestACLSetModeIsItsInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := newACL([3]uint32{aclUserObj, 0, anyID}, [3]uint32{aclGroupObj, 0, anyID}, [3]uint32{aclOther, 0, anyID})
		if rapid.Bool().Draw(t, "mask") {
			a = append(a, newACL([3]uint32{aclMask, 0, anyID})[aclHeader:]...)
		}
		mode := rapid.Uint32Range(0, 0o777).Draw(t, "mode")
		a.setMode(mode)
		if a.mode() != mode {
			t.Fatalf("mode %#o after setting %#o", a.mode(), mode)
		}
	})
}
