package main

import (
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudcoin/cloudcoin/drive"
	"github.com/cloudcoin/cloudcoin/internal/humanize"
)

func (a *app) statusCmd() *cobra.Command {
	c := &cobra.Command{Use: "status", Short: "Show how the drive is", Args: args(cobra.NoArgs)}
	c.RunE = func(c *cobra.Command, _ []string) error {
		return a.withRunning(func(d *drive.Client) error {
			s, err := d.Status(c.Context())
			if err != nil {
				return err
			}
			if a.json {
				return printJSON(c.OutOrStdout(), s)
			}
			return printStatus(c.OutOrStdout(), s)
		})
	}
	return c
}

func printStatus(out io.Writer, s *drive.Status) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	state := s.State
	if s.Mountpoint != "" {
		state += " at " + s.Mountpoint
	}
	fmt.Fprintf(w, "state\t%s\n", state)
	fmt.Fprintf(w, "stored\t%d files, %s\n", s.StoredFiles, humanize.FormatSize(s.StoredBytes))
	fmt.Fprintf(w, "pending\t%d files, %s\n", s.PendingFiles, humanize.FormatSize(s.PendingBytes))
	fmt.Fprintf(w, "cached\t%s of at most %s\n", humanize.FormatSize(s.CachedBytes), humanize.FormatSize(s.CacheLimit))
	fmt.Fprintf(w, "health\t%s\n", healthLine(s.Health))
	for _, l := range s.Leases {
		fmt.Fprintf(w, "lease\t%s  %s  %s of %s, until %s\n", l.Provider, l.State, humanize.FormatSize(l.Used), humanize.FormatSize(l.Size), l.Until.Format(time.DateOnly))
	}
	for _, m := range s.Warnings {
		fmt.Fprintf(w, "warning\t%s\n", m)
	}
	return w.Flush()
}

func healthLine(h drive.Health) string {
	switch {
	case h.Lost > 0:
		return fmt.Sprintf("%d of %d packs can't be read until providers return; %d more are at risk", h.Lost, h.Packs, h.AtRisk)
	case h.AtRisk > 0:
		return fmt.Sprintf("%d of %d packs miss shards and are being repaired; everything can be read", h.AtRisk, h.Packs)
	}
	return fmt.Sprintf("all %d packs are whole", h.Packs)
}

func (a *app) leasesCmd() *cobra.Command {
	c := &cobra.Command{Use: "leases", Short: "List the leases", Args: args(cobra.NoArgs)}
	c.RunE = func(c *cobra.Command, _ []string) error {
		return a.withDrive(c.Context(), func(d *drive.Client) error {
			leases, err := d.Leases(c.Context())
			if err != nil {
				return err
			}
			if a.json {
				return printJSON(c.OutOrStdout(), leases)
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "LEASE\tPROVIDER\tURL\tSTATE\tUSED\tSIZE\tUNTIL")
			for _, l := range leases {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Lease, l.Provider, l.URL, l.State, humanize.FormatSize(l.Used), humanize.FormatSize(l.Size), l.Until.Format(time.DateOnly))
			}
			return w.Flush()
		})
	}
	return c
}

func (a *app) leaseCmd() *cobra.Command {
	c := &cobra.Command{Use: "lease", Short: "Take leases that providers grant", Args: args(cobra.NoArgs), RunE: needSub}
	c.AddCommand(&cobra.Command{
		Use: "key URL", Short: "Print the key to give to the operator of the provider at URL", Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, arg []string) error {
			opt, err := a.options()
			if err != nil {
				return err
			}
			key, err := drive.LeaseKey(c.Context(), opt, arg[0])
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), key)
			return nil
		},
	}, &cobra.Command{
		Use: "add CODE", Short: "Take a lease that a provider's operator granted", Args: args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, arg []string) error {
			return a.withDrive(c.Context(), func(d *drive.Client) error {
				l, err := d.AddLease(c.Context(), arg[0])
				if err != nil {
					return err
				}
				if a.json {
					return printJSON(c.OutOrStdout(), l)
				}
				fmt.Fprintf(c.OutOrStdout(), "lease %s: %s at %s until %s\n", l.Lease, humanize.FormatSize(l.Size), l.URL, l.Until.Format(time.DateOnly))
				return nil
			})
		},
	})
	return c
}

// needSub answers a command that only has subcommands.
func needSub(c *cobra.Command, _ []string) error {
	return usageError{fmt.Errorf("say what to do: see `%s --help`", c.CommandPath())}
}

func (a *app) packCmd() *cobra.Command {
	c := &cobra.Command{Use: "pack", Short: "Look at the packs that hold the drive's data", Args: args(cobra.NoArgs), RunE: needSub}
	list := &cobra.Command{Use: "list", Short: "List the packs and their shards", Args: args(cobra.NoArgs)}
	list.RunE = func(c *cobra.Command, _ []string) error {
		return a.withDrive(c.Context(), func(d *drive.Client) error {
			packs, err := d.Packs(c.Context())
			if err != nil {
				return err
			}
			if a.json {
				return printJSON(c.OutOrStdout(), packs)
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "PACK\tSIZE\tHEALTH\tSHARDS")
			for _, p := range packs {
				fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", p.Pack, humanize.FormatSize(p.Size), p.Health, len(p.Shards))
			}
			return w.Flush()
		})
	}
	export := &cobra.Command{Use: "export PACK DIR", Short: "Take a pack out as one age file and as its shards", Args: args(cobra.ExactArgs(2))}
	export.RunE = func(c *cobra.Command, arg []string) error {
		dir, err := filepath.Abs(arg[1])
		if err != nil {
			return err
		}
		return a.withDrive(c.Context(), func(d *drive.Client) error {
			files, err := d.ExportPack(c.Context(), arg[0], dir)
			for _, f := range files {
				fmt.Fprintln(c.OutOrStdout(), f)
			}
			return err
		})
	}
	c.AddCommand(list, export)
	return c
}

func (a *app) doctorCmd() *cobra.Command {
	var readData bool
	c := &cobra.Command{Use: "doctor", Short: "Check local state, every lease and every shard", Args: args(cobra.NoArgs)}
	c.Flags().BoolVar(&readData, "read-data", false, "read and verify every shard")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return a.withDrive(c.Context(), func(d *drive.Client) error {
			findings, err := d.Doctor(c.Context(), readData)
			if err != nil {
				return err
			}
			if a.json {
				if err := printJSON(c.OutOrStdout(), findings); err != nil {
					return err
				}
			}
			return printFindings(c.OutOrStdout(), findings, a.json)
		})
	}
	return c
}

func printFindings(w io.Writer, findings []drive.Finding, quiet bool) error {
	bad := 0
	for _, f := range findings {
		mark := "ok  "
		if !f.OK {
			bad++
			mark = "BAD "
		}
		if quiet {
			continue
		}
		fmt.Fprintf(w, "%s %s: %s\n", mark, f.What, f.Detail)
		if f.Advice != "" {
			fmt.Fprintf(w, "     %s\n", f.Advice)
		}
	}
	if bad > 0 {
		return errSilent
	}
	return nil
}
