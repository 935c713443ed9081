package vfs_test

import (
	"testing"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
)

// TestPOSIX runs scripts that say what a local disk would.
func TestPOSIX(t *testing.T) {
	for name, text := range posix {
		t.Run(name, func(t *testing.T) { run(t, newDrive(t, nil), text) })
	}
}

// TestAccess runs scripts with the permission checks that a mount leaves to the kernel.
func TestAccess(t *testing.T) {
	for name, text := range access {
		t.Run(name, func(t *testing.T) {
			run(t, newDrive(t, func(c *vfs.Config) { c.CheckAccess = true }), text)
		})
	}
}

var posix = map[string]string{
	"names": `
		mkdir /d
		mkdir /d = EEXIST
		create /d/f
		create /d/f = EEXIST
		create /d/LONG = ENAMETOOLONG
		create /d/f/g = ENOTDIR
		create /no/f = ENOENT
		mkdir /.ccdrive = EPERM
		ls /d = f
		rmdir /d = ENOTEMPTY
		unlink /d = EISDIR
		rmdir /d/f = ENOTDIR
		unlink /d/no = ENOENT
		unlink /d/f
		rmdir /d
		ls /
		nlink /d = ENOENT`,
	"links of folders": `
		nlink / = 2
		mkdir /a
		mkdir /a/b
		nlink / = 3
		nlink /a = 3
		nlink /a/b = 2
		mkdir /c
		rename /a/b /c/b
		nlink /a = 2
		nlink /c = 3
		rename /c /a/c
		nlink / = 3
		nlink /a = 3
		rmdir /a/c/b
		nlink /a/c = 2`,
	"hard links": `
		write /a hello
		link /a /b
		nlink /a = 2
		write /b other
		read /a = other
		mkdir /d
		link /d /e = EPERM
		link /a /b = EEXIST
		unlink /a
		nlink /b = 1
		read /b = other
		link /b /d/c
		rename /b /d/c # two names of one file: nothing happens
		nlink /b = 2
		nlink /d/c = 2`,
	"symlinks": `
		symlink /l ../some/where
		readlink /l = ../some/where
		size /l = 13
		mode /l = 777
		symlink /e = ENOENT
		create /f
		readlink /f = EINVAL
		unlink /l`,
	"nodes": `
		mknod /p 10600
		type /p = 10000
		mode /p = 600
		mknod /s 140644
		type /s = 140000
		mknod /c 20600 259
		rdev /c = 259
		mknod /b 60600 1793
		rdev /b = 1793
		mknod /f 100640
		size /f = 0
		mknod /d 40755 = EINVAL
		unlink /p
		rename /s /s2
		type /s2 = 140000`,
	"rename": `
		write /a one
		write /b two
		rename /a /b
		read /b = one
		read /a = ENOENT
		noreplace /b /c
		write /b again
		noreplace /b /c = EEXIST
		exchange /b /c
		read /b = one
		read /c = again
		exchange /b /no = ENOENT
		rename /no /x = ENOENT
		mkdir /d
		mkdir /d/e
		rename /d /d/e/f = EINVAL
		rename /d /d/x = EINVAL
		rename /b /d = EISDIR
		rename /d /b = ENOTDIR
		mkdir /empty
		rename /d /empty
		ls /empty = e
		mkdir /d
		rename /d /empty = ENOTEMPTY
		rename /empty/e /empty = ENOTEMPTY
		exchange /empty /empty/e = EINVAL
		rename /d /d
		exchange /d /b
		read /d = one
		ls /b
		nlink / = 4`,
	"exchange over folders": `
		mkdir /a
		mkdir /b
		mkdir /a/sub
		write /b/file x
		exchange /a/sub /b/file
		nlink /a = 2
		nlink /b = 3
		read /a/sub = x
		ls /b/file`,
	"unlink while open": `
		write /f content
		open h /f rw
		unlink /f
		hnlink h = 0
		hread h 0 100 = content
		hwrite h 7 more
		hread h 0 100 = contentmore
		hsize h = 11
		write /f new
		hread h 0 100 = contentmore
		fsync h
		htrunc h 4
		hread h 0 100 = cont
		close h
		read /f = new`,
	"rename over an open file": `
		write /old old
		write /new new
		open h /old
		rename /new /old
		hread h 0 100 = old
		read /old = new
		close h`,
	"tmpfile": `
		mkdir /d
		tmpfile h /d
		hwrite h 0 hidden
		hnlink h = 0
		ls /d
		hlink h /d/seen
		hnlink h = 1
		read /d/seen = hidden
		close h
		read /d/seen = hidden
		mode /d/seen = 600`,
	"append and sparse": `
		write /f 0123456789
		open a /f a
		hwrite a 0 abc
		close a
		read /f = 0123456789abc
		truncate /f 4
		read /f = 0123
		open h /f rw
		hwrite h 8 xy
		hread h 0 20 = 0123....xy
		hread h 100 5
		htrunc h 6
		htrunc h 9
		hread h 0 20 = 0123.....
		close h
		size /f = 9
		open r /f r
		hwrite r 0 no = EBADF
		close r`,
	"fallocate and holes": `
		create /f
		open h /f rw
		alloc h plain 0 8192
		hsize h = 8192
		alloc h keep 0 100000
		hsize h = 8192
		hwrite h 0 data
		hwrite h 20480 tail
		hsize h = 20484
		alloc h zero 20480 2
		hread h 20480 4 = ..il
		alloc h zero 20484 16
		hsize h = 20500
		alloc h zerokeep 0 2
		hread h 0 4 = ..ta
		alloc h punch 0 4096
		hread h 0 4 = ....
		hsize h = 20500
		alloc h collapse 0 4096 = EOPNOTSUPP
		alloc h plain 0 0 = EINVAL
		seek h data 4096 = 20480
		seek h hole 20480 = 20500
		seek h data 20500 = ENXIO
		close h`,
	"truncate": `
		create /f
		truncate /f 100000
		size /f = 100000
		truncate /f 0
		size /f = 0
		mkdir /d
		truncate /d 0 = EISDIR
		truncate /f -1 = EINVAL
		truncate /f 0x7fffffffffffffff = EFBIG`,
	"times": `
		create /f
		utimes /f 1000000001 1999999999
		times /f = 1000000001 1999999999
		utimes /f -5000000001 1
		times /f = -5000000001 1
		open h /f rw
		hwrite h 0 x
		utimes /f 7 8
		times /f = 7 8
		close h
		times /f = 7 8`,
	"suid": `
		write /f x
		chmod /f 6755
		mode /f = 6755
		as 0 0
		open h /f rw
		hwrite h 0 y # root keeps them
		mode /f = 6755
		as 1000 1000
		hwrite h 0 y
		mode /f = 755
		close h
		as 0 0
		chmod /f 6755
		chown /f 5 6
		owner /f = 5:6
		mode /f = 755
		chmod /f 6755
		as 1000 1000
		truncate /f 0
		mode /f = 755
		as 0 0
		chmod /f 2745
		chown /f 1 1
		mode /f = 2745 # sgid without group execution is something else
		setx /f security.capability cap
		as 1000 1000
		open h /f rw
		hwrite h 0 z
		getx /f security.capability = ENODATA
		close h`,
	"setgid folders": `
		mkdir /d 755
		chown /d 1 77
		chmod /d 2775
		as 1000 1000 22
		create /d/f 666
		owner /d/f = 1000:77
		mode /d/f = 644
		mkdir /d/e 777
		mode /d/e = 2755
		owner /d/e = 1000:77`,
	"attributes": `
		write /f x
		getx /f user.a = ENODATA
		setx /f user.a one
		setx /f user.a two 1 = EEXIST
		setx /f user.b two 2 = ENODATA
		setx /f user.b two
		getx /f user.a = one
		listx /f = user.a user.b
		setx /f trusted.t 1
		setx /f security.selinux label
		setx /f system.posix_acl_access acl = EINVAL
		rmx /f trusted.t
		rmx /f trusted.t = ENODATA
		setx /f other.x 1 = EOPNOTSUPP
		setx /f user. 1 = EINVAL
		setx /f system.posix_acl_default acl = EACCES
		symlink /l f
		setx /l user.a 1 = EPERM
		setx /l trusted.a 1
		rename /f /g
		getx /g user.b = two
		rmx /g user.a
		rmx /g user.b
		listx /g = security.selinux`,
	"a folder that was removed": `
		mkdir /d
		rmdir /d
		mkdir /d
		ls /d`,
}

var access = map[string]string{
	"bits": `
		mkdir /d 755
		write /d/f x
		chmod /d/f 640
		chown /d/f 5 6
		as 5 9
		access /d/f 6
		access /d/f 1 = EACCES
		as 9 6
		access /d/f 4
		access /d/f 2 = EACCES
		as 9 9
		access /d/f 4 = EACCES
		open h /d/f r = EACCES
		create /d/new = EACCES
		unlink /d/f = EACCES
		chmod /d/f 777 = EPERM
		chown /d/f 9 9 = EPERM
		utimes /d/f 1 1 = EPERM
		truncate /d/f 0 = EACCES`,
	"sticky": `
		mkdir /tmp 777
		chmod /tmp 1777
		as 5 5
		create /tmp/mine
		as 6 6
		unlink /tmp/mine = EPERM
		rename /tmp/mine /tmp/other = EPERM
		create /tmp/his
		rename /tmp/his /tmp/mine = EPERM
		as 5 5
		unlink /tmp/mine`,
	"sgid of a stranger's group": `
		mkdir /d 777
		as 5 5
		create /d/f 755
		chown /d/f 5 5
		chmod /d/f 2755
		mode /d/f = 2755
		as 0 0
		chown /d/f 5 7
		as 5 5
		chmod /d/f 2755
		mode /d/f = 755`,
}
