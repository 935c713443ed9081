package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// mountHelper is the command line under the names mount.ccdrive and mount.fuse.ccdrive, as mount(8) calls them: SRC DIR [-sfnv] [-o OPTIONS].
// SRC is the HOME when it is an absolute path; any other word means the default HOME. It returns when the mount answers.
func (a *app) mountHelper(name string) *cobra.Command {
	var options []string
	var sloppy, fake, noMtab, verbose bool
	var fsType string
	c := &cobra.Command{
		Use: name + " SRC DIR [-o OPTIONS]", Short: "Mount a drive for mount(8) and fstab",
		Args: args(cobra.ExactArgs(2)), SilenceErrors: true, SilenceUsage: true,
	}
	f := c.Flags()
	f.StringArrayVarP(&options, "options", "o", nil, "comma-separated mount options")
	f.BoolVarP(&sloppy, "sloppy", "s", false, "ignore unknown options")
	f.BoolVarP(&fake, "fake", "f", false, "do everything but mount")
	f.BoolVarP(&noMtab, "no-mtab", "n", false, "ignored")
	f.BoolVarP(&verbose, "verbose", "v", false, "ignored")
	f.StringVarP(&fsType, "types", "t", "", "ignored")
	c.RunE = func(c *cobra.Command, arg []string) error {
		m := mountFlags{fuse: "auto", cacheSize: "10GiB", fsync: "local"}
		a.logLevel = "warn"
		if filepath.IsAbs(arg[0]) {
			a.home = arg[0]
		}
		for _, o := range strings.Split(strings.Join(options, ","), ",") {
			if err := a.mountOption(&m, o); err != nil && !sloppy {
				return usageError{err}
			}
		}
		if fake {
			return nil
		}
		return a.mount(c, m, arg[1], true)
	}
	return c
}

// generic are options of mount(8) and fstab that mean nothing to the program or are the kernel's.
var generic = map[string]bool{
	"": true, "defaults": true, "rw": true, "auto": true, "noauto": true, "user": true, "nouser": true, "users": true, "nofail": true, "_netdev": true,
	"dev": true, "nodev": true, "suid": true, "nosuid": true, "exec": true, "noexec": true, "async": true, "atime": true, "noatime": true,
	"relatime": true, "norelatime": true, "diratime": true, "nodiratime": true, "default_permissions": true,
}

func (a *app) mountOption(m *mountFlags, o string) error {
	key, value, _ := strings.Cut(o, "=")
	switch strings.ReplaceAll(key, "-", "_") {
	case "ro", "read_only":
		m.readOnly = true
	case "allow_other":
		m.allowOther = true
	case "home":
		a.home = value
	case "network":
		a.network = value
	case "proxy":
		a.proxy = value
	case "upload_limit":
		a.uploadLimit = value
	case "log_level":
		a.logLevel = value
	case "fuse":
		m.fuse = value
	case "at":
		m.at = value
	case "cache_size":
		m.cacheSize = value
	case "fsync":
		m.fsync = value
	default:
		if !generic[key] && !strings.HasPrefix(key, "x-") && !strings.HasPrefix(key, "comment") {
			return fmt.Errorf("mount option %q is unknown", o)
		}
	}
	return nil
}
