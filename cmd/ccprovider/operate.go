package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/leasecode"
	"github.com/cloudcoin/cloudcoin/internal/humanize"
	"github.com/cloudcoin/cloudcoin/provider"
	"github.com/spf13/cobra"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "What the running provider is doing", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := a.checkNetwork()
			if errors.Is(err, provider.ErrNoProvider) {
				return fmt.Errorf("%w: %w", provider.ErrNotRunning, err)
			}
			if err != nil {
				return err
			}
			c, err := provider.Connect(cmd.Context(), a.home)
			if err != nil {
				return err
			}
			st, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(st, func(w io.Writer) { printStatus(w, &st) })
		},
	}
}

func printStatus(w io.Writer, st *provider.Status) {
	fmt.Fprintf(w, "%s: %s (process %d) at %s, since %s\n", st.Name, st.State, st.PID, st.URL, st.Started.Local().Format("2006-01-02 15:04:05"))
	fmt.Fprintf(w, "network %s, provider %s\n", st.Network, st.Provider)
	fmt.Fprintf(w, "%d leases: %s promised, %s used in %d shards; %s of the disk's %s are free\n", st.Leases,
		humanize.FormatSize(st.Promised), humanize.FormatSize(st.Used), st.Shards, humanize.FormatSize(st.Free), humanize.FormatSize(st.Disk))
	for _, s := range st.Warnings {
		fmt.Fprintln(w, "warning:", s)
	}
}

func (a *app) leasesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "leases", Short: "The leases and what is used of them", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.operate(cmd, func(o provider.Operator) error {
				list, err := o.Leases(cmd.Context())
				if err != nil {
					return err
				}
				return a.print(list, func(w io.Writer) { printLeases(w, list) })
			})
		},
	}
}

func printLeases(w io.Writer, list []provider.Lease) {
	if len(list) == 0 {
		fmt.Fprintln(w, "no leases; `ccprovider grant` gives one")
		return
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "LEASE\tSTATE\tSIZE\tUSED\tSHARDS\tUNTIL\tNOTE")
	for _, l := range list {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", l.Lease, l.State, humanize.FormatSize(l.Size), humanize.FormatSize(l.Used), l.Shards, l.Until.Local().Format("2006-01-02"), l.Note)
	}
	t.Flush() //nolint:errcheck // into memory
}

func (a *app) grantCommand() *cobra.Command {
	var size, key, until, note string
	c := &cobra.Command{
		Use: "grant --size SIZE --for KEY --until TIME", Short: "Grant a lease without coins; prints the code for `ccdrive lease add`", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask, err := parseAsk(size, key, until, note, time.Now())
			if err != nil {
				return err
			}
			return a.operate(cmd, func(o provider.Operator) error {
				g, err := o.Grant(cmd.Context(), ask)
				if err != nil {
					return err
				}
				a.warn(g.Warnings)
				return a.print(g, func(w io.Writer) { fmt.Fprintln(w, g.Code) })
			})
		},
	}
	f := c.Flags()
	f.StringVar(&size, "size", "", "how much, for example 50GiB")
	f.StringVar(&key, "for", "", "what `ccdrive lease key URL` printed")
	f.StringVar(&until, "until", "", "end of the term: RFC 3339, a date, or a span from now such as 1y or 90d")
	f.StringVar(&note, "note", "", "for yourself")
	return c
}

// parseAsk reads the flags of grant.
func parseAsk(size, key, until, note string, now time.Time) (provider.Ask, error) {
	if size == "" || key == "" || until == "" {
		return provider.Ask{}, usage("grant needs --size, --for and --until")
	}
	n, serr := humanize.ParseSize(size)
	k, kerr := leasecode.ParseKey(key)
	t, terr := humanize.ParseFuture(until, now)
	if err := errors.Join(wrap("--size", serr), wrap("--for", kerr), wrap("--until", terr)); err != nil {
		return provider.Ask{}, usageError{err}
	}
	ask := provider.Ask{For: k, Size: n, Until: t, Note: note}
	if err := ask.Validate(now); err != nil {
		return ask, usageError{err}
	}
	return ask, nil
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// errDamaged is returned by scrub after it has said what is damaged.
var errDamaged = errors.New("damaged shards were found and set aside; their renters heal them by sending them again")

func (a *app) scrubCommand() *cobra.Command {
	return &cobra.Command{
		Use: "scrub", Short: "Read and verify every shard; exit 1 when any is damaged", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.operate(cmd, func(o provider.Operator) error {
				r, err := o.Scrub(cmd.Context())
				if err != nil {
					return err
				}
				if err := a.print(r, func(w io.Writer) { printScrubbed(w, &r) }); err != nil {
					return err
				}
				if len(r.Damaged) > 0 {
					return errDamaged
				}
				return nil
			})
		},
	}
}

func printScrubbed(w io.Writer, r *provider.Scrubbed) {
	for _, d := range r.Damaged {
		if d.Slot != "" {
			fmt.Fprintf(w, "damaged: lease %s slot %s\n", d.Lease, d.Slot)
		} else {
			fmt.Fprintf(w, "damaged: lease %s shard %s\n", d.Lease, d.Shard)
		}
	}
	for _, id := range r.Strange {
		fmt.Fprintf(w, "unknown: lease %s lies on the disk, but the ledger doesn't know it; it is left alone\n", id)
	}
	fmt.Fprintf(w, "%d shards (%s) and %d slots read, %d damaged\n", r.Shards, humanize.FormatSize(r.Bytes), r.Slots, len(r.Damaged))
}
