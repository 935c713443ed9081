package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/cloudcoin/cloudcoin/drive"
	"github.com/cloudcoin/cloudcoin/internal/humanize"
)

func (a *app) initCmd() *cobra.Command {
	var phraseFile string
	c := &cobra.Command{Use: "init", Short: "Make a new drive and print its 24 words once", Args: args(cobra.NoArgs)}
	c.Flags().StringVar(&phraseFile, "phrase-file", "", "write the 24 words to this new file (mode 0600) instead of printing them")
	c.RunE = func(c *cobra.Command, _ []string) error {
		opt, err := a.options()
		if err != nil {
			return err
		}
		words, err := drive.Init(opt, phraseFile)
		if err != nil {
			return err
		}
		if phraseFile != "" {
			fmt.Fprintf(c.ErrOrStderr(), "The 24 words are in %s. Who has them has the drive; who loses them can't bring it back.\n", phraseFile)
			return nil
		}
		fmt.Fprintln(c.OutOrStdout(), words)
		fmt.Fprintln(c.ErrOrStderr(), "Write these 24 words down and keep them safe: they restore everything, and who has them has the drive.")
		return nil
	}
	return c
}

func (a *app) recoverCmd() *cobra.Command {
	var r drive.Recovery
	c := &cobra.Command{Use: "recover --phrase-file F", Short: "Restore everything into an empty HOME, as a new device", Args: args(cobra.NoArgs)}
	f := c.Flags()
	f.StringVar(&r.PhraseFile, "phrase-file", "", "file with the 24 words; - reads them from standard input")
	f.StringArrayVar(&r.Providers, "provider", nil, "URL of a provider that holds a lease of this drive (repeatable)")
	f.StringVar(&r.From, "from", "", "a damaged HOME: what it had not sent yet is saved too")
	var since uint32
	f.Uint32Var(&since, "since", 0, "birth height of the drive's coins (used once there is a chain)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		opt, err := a.options()
		if err != nil {
			return err
		}
		if r.PhraseFile == "" && r.From == "" {
			return usageError{errors.New("name the file with the 24 words: --phrase-file F (- for standard input)")}
		}
		report, err := drive.Recover(c.Context(), opt, r, c.InOrStdin())
		if report != nil {
			if a.json {
				err = errors.Join(err, printJSON(c.OutOrStdout(), report))
			} else {
				printRecovery(c.OutOrStdout(), report)
			}
		}
		return err
	}
	return c
}

func printRecovery(w io.Writer, r *drive.RecoveryReport) {
	fmt.Fprintf(w, "recovered %d files, %s, as of revision %d (%s)\n", r.Files, humanize.FormatSize(r.Bytes), r.Revision, r.Time.Local().Format("2006-01-02 15:04:05"))
	for _, l := range r.Unreachable {
		fmt.Fprintf(w, "could not reach %s\n", l)
	}
	if r.SavedFiles > 0 {
		fmt.Fprintf(w, "saved %d files that had not been sent under %q\n", r.SavedFiles, r.SavedUnder)
	}
	for _, m := range r.Problems {
		fmt.Fprintln(w, "note:", m)
	}
}

func (a *app) phraseCmd() *cobra.Command {
	return a.secretCmd("phrase", "Print the 24 words on one line", drive.Home.Words)
}

func (a *app) identityCmd() *cobra.Command {
	return a.secretCmd("identity", "Print the age identity that opens the drive's packs", drive.Home.Identity)
}

// secretCmd prints a secret of the HOME after it asked.
func (a *app) secretCmd(name, short string, secret func(drive.Home) (string, error)) *cobra.Command {
	var yes bool
	c := &cobra.Command{Use: name, Short: short, Args: args(cobra.NoArgs)}
	c.Flags().BoolVar(&yes, "yes", false, "don't ask first")
	c.RunE = func(c *cobra.Command, _ []string) error {
		home, err := a.homeDir()
		if err != nil {
			return err
		}
		if err := home.CheckNetwork(a.network); err != nil {
			return err
		}
		s, err := secret(home)
		if err != nil {
			return err
		}
		if !yes {
			if err := confirm(c, "This prints the key to all your files. Is nobody watching? [y/N] "); err != nil {
				return err
			}
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), s)
		return err
	}
	return c
}

func confirm(c *cobra.Command, question string) error {
	if f, ok := c.InOrStdin().(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return errors.New("this asks first, and there is no terminal to ask on; pass --yes")
	}
	fmt.Fprint(c.ErrOrStderr(), question)
	line, err := bufio.NewReader(c.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return errors.New("nothing printed")
	}
	return nil
}
