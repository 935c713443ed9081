package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudcoin/cloudcoin/drive"
	"github.com/cloudcoin/cloudcoin/internal/humanize"
)

func (a *app) syncCmd() *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{Use: "sync", Short: "Return when all that was written before is stored", Args: args(cobra.NoArgs)}
	c.Flags().DurationVar(&timeout, "timeout", 0, "give up after this time (exit 5)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if timeout < 0 {
			return usageError{errors.New("--timeout must not be negative")}
		}
		return a.withDrive(c.Context(), func(d *drive.Client) error {
			if err := flushMount(c.Context(), d); err != nil {
				return err
			}
			return d.Sync(c.Context(), timeout)
		})
	}
	return c
}

func (a *app) historyCmd() *cobra.Command {
	c := &cobra.Command{Use: "history PATH", Short: "List the revisions of a path, newest first; deleted ones too", Args: args(cobra.ExactArgs(1))}
	c.RunE = func(c *cobra.Command, arg []string) error {
		return a.withDrive(c.Context(), func(d *drive.Client) error {
			path, err := drivePath(c.Context(), d, arg[0])
			if err != nil {
				return err
			}
			revs, err := d.History(c.Context(), path)
			if err != nil {
				return err
			}
			if a.json {
				return printJSON(c.OutOrStdout(), revs)
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "REVISION\tTIME\tOPERATION\tSIZE\tSTORED")
			for _, r := range revs {
				fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%v\n", r.Revision, r.Time.Local().Format(time.RFC3339), r.Op, humanize.FormatSize(r.Size), r.Stored)
			}
			return w.Flush()
		})
	}
	return c
}

func (a *app) revertCmd() *cobra.Command {
	var to string
	c := &cobra.Command{Use: "revert PATH --to REVISION|TIME", Short: "Bring a file, a deleted file or a folder back as a new revision", Args: args(cobra.ExactArgs(1))}
	c.Flags().StringVar(&to, "to", "", "a revision's number, or a time (RFC 3339, 2h, yesterday)")
	c.RunE = func(c *cobra.Command, arg []string) error {
		if to == "" {
			return usageError{errors.New("name what to go back to: --to REVISION|TIME (see `ccdrive history`)")}
		}
		return a.withDrive(c.Context(), func(d *drive.Client) error {
			path, err := drivePath(c.Context(), d, arg[0])
			if err != nil {
				return err
			}
			if err := flushMount(c.Context(), d); err != nil {
				return err
			}
			return d.Revert(c.Context(), path, to)
		})
	}
	return c
}

func (a *app) catCmd() *cobra.Command {
	var at string
	c := &cobra.Command{Use: "cat PATH --at REVISION|TIME", Short: "Print an old revision of a file", Args: args(cobra.ExactArgs(1))}
	c.Flags().StringVar(&at, "at", "", "a revision's number, or a time (RFC 3339, 2h, yesterday)")
	c.RunE = func(c *cobra.Command, arg []string) error {
		return a.withDrive(c.Context(), func(d *drive.Client) error {
			path, err := drivePath(c.Context(), d, arg[0])
			if err != nil {
				return err
			}
			return d.Cat(c.Context(), path, at, c.OutOrStdout())
		})
	}
	return c
}

func (a *app) evictCmd() *cobra.Command {
	c := &cobra.Command{Use: "evict [PATH]", Short: "Give local disk space back: drop cached copies of what is stored", Args: args(cobra.MaximumNArgs(1))}
	c.RunE = func(c *cobra.Command, arg []string) error {
		return a.withDrive(c.Context(), func(d *drive.Client) error {
			path := ""
			if len(arg) == 1 {
				var err error
				if path, err = drivePath(c.Context(), d, arg[0]); err != nil {
					return err
				}
			}
			if err := flushMount(c.Context(), d); err != nil {
				return err
			}
			e, err := d.Evict(c.Context(), path)
			if err != nil {
				return err
			}
			if a.json {
				return printJSON(c.OutOrStdout(), e)
			}
			fmt.Fprintf(c.OutOrStdout(), "freed %s\n", humanize.FormatSize(e.Freed))
			if e.Kept > 0 {
				fmt.Fprintf(c.OutOrStdout(), "kept %s that is not stored yet\n", humanize.FormatSize(e.Kept))
			}
			return nil
		})
	}
	return c
}

func (a *app) pruneCmd() *cobra.Command {
	var keep string
	var dryRun bool
	c := &cobra.Command{Use: "prune", Short: "Apply the retention policy now", Args: args(cobra.NoArgs)}
	c.Flags().StringVar(&keep, "keep", "", "rules like all:30d,daily:180d,monthly:forever")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only say what it would free")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return a.withDrive(c.Context(), func(d *drive.Client) error {
			p, err := d.Prune(c.Context(), keep, dryRun)
			if err != nil {
				return err
			}
			if a.json {
				return printJSON(c.OutOrStdout(), p)
			}
			verb := "removed"
			if dryRun {
				verb = "would remove"
			}
			fmt.Fprintf(c.OutOrStdout(), "%s %d revisions, frees %s\n", verb, p.Revisions, humanize.FormatSize(p.Bytes))
			return nil
		})
	}
	return c
}
