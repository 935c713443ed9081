package drive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/keychain"
	"github.com/cloudcoin/cloudcoin/crypto/phrase"
	"github.com/cloudcoin/cloudcoin/internal/homelock"
	"github.com/cloudcoin/cloudcoin/sync/engine"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// Recovery says what to recover from.
type Recovery struct {
	PhraseFile string   // "-": standard input; "": the phrase of From
	Providers  []string // URLs
	From       string   // a damaged HOME, or ""
}

// RecoveryReport says what was recovered, and what was not.
type RecoveryReport struct {
	Files       int64     `json:"files"`
	Bytes       int64     `json:"bytes"`
	Revision    uint64    `json:"revision"`
	Time        time.Time `json:"time"`
	Unreachable []string  `json:"unreachable"`
	SavedFiles  int64     `json:"saved_files"` // not sent before, from the damaged HOME
	SavedUnder  string    `json:"saved_under"`
	Problems    []string  `json:"problems"`
}

// unfinished marks a HOME whose recovery did not come to its end: the next one begins anew.
const unfinished = "recovering"

// Recover restores a drive into an empty HOME as a new device: it asks every lease that the providers and lease books name, takes the highest
// head, and reads its log. With From, contents that the damaged HOME had not sent are brought back under "Recovered TIME/".
// The report is not nil when the drive was restored, also with an error that says what of From could not be saved.
func Recover(ctx context.Context, opt Options, r Recovery, stdin io.Reader) (*RecoveryReport, error) {
	opt.defaults()
	p, err := r.phrase(stdin)
	if err != nil {
		return nil, err
	}
	lock, err := prepareRecovery(opt.Home)
	if err != nil {
		return nil, err
	}
	report, err := recoverInto(ctx, &opt, r, p)
	if err = errors.Join(err, lock.Release()); err != nil {
		return nil, err
	}
	if r.From != "" {
		return report, salvage(ctx, opt, r.From, report)
	}
	return report, nil
}

func (r *Recovery) phrase(stdin io.Reader) (phrase.Phrase, error) {
	if r.From != "" {
		abs, err := filepath.Abs(r.From)
		if err != nil {
			return phrase.Phrase{}, fmt.Errorf("--from: %w", err)
		}
		r.From = abs
		if _, err := os.Stat(r.From); err != nil {
			return phrase.Phrase{}, fmt.Errorf("--from: %w", err)
		}
		if r.PhraseFile == "" {
			return readPhrase(filepath.Join(r.From, "phrase"), stdin)
		}
	}
	return readPhrase(r.PhraseFile, stdin)
}

// prepareRecovery takes the lock of an empty HOME, and clears away what a recovery left that did not come to its end.
func prepareRecovery(h Home) (*homelock.Lock, error) {
	marker := h.path(unfinished)
	_, err := os.Lstat(marker)
	_, cerr := os.Lstat(h.path("drive.json")) // written last: with it the recovery came to its end, and there may be new files
	again := err == nil && errors.Is(cerr, os.ErrNotExist)
	if h.Exists() && !again {
		return nil, fmt.Errorf("%s: %w; recover into an empty --home, and name this one with --from when it is damaged", h.Dir, ErrHasDrive)
	}
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make HOME: %w", err)
	}
	lock, err := homelock.Acquire(h.Dir)
	if err != nil {
		return nil, err
	}
	err = writeFile(marker, []byte("a recovery into this folder has begun\n"))
	for _, name := range []string{"drive.json", "phrase", "leases.json", "journal", "index", "stage"} {
		if err == nil {
			err = os.RemoveAll(h.path(name))
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("clear HOME: %w", err), lock.Release())
	}
	return lock, nil
}

// recoverInto fills the HOME, whose lock is held.
func recoverInto(ctx context.Context, opt *Options, r Recovery, p phrase.Phrase) (*RecoveryReport, error) {
	f := &finder{opt: opt, report: &RecoveryReport{Unreachable: []string{}, Problems: []string{}}, seed: p.Seed()}
	urls, err := f.providers(r)
	if err != nil {
		return nil, err
	}
	if err := f.chooseNetwork(ctx, urls, r.From); err != nil {
		return nil, err
	}
	cfg := &Config{Format: 1, Network: f.network, Created: opt.Clock().UTC()}
	if err := cfg.newDevice(); err != nil {
		return nil, err
	}
	d := &Drive{opt: *opt, cfg: cfg, keys: keychain.New(f.seed, f.network)}
	f.drive = d
	found, err := f.search(ctx, urls)
	if err != nil {
		return nil, err
	}
	if len(found.Heads) == 0 && r.From == "" {
		return nil, f.noHead(urls)
	}
	return f.report, f.restore(ctx, p, found)
}

// restore writes the HOME: phrase and leases first, the configuration last, so that a HOME with one is whole.
func (f *finder) restore(ctx context.Context, p phrase.Phrase, found *engine.Found) (err error) {
	d, h := f.drive, f.opt.Home
	if err := writeFile(h.path("phrase"), []byte(p.Words()+"\n")); err != nil {
		return err
	}
	if err := h.saveBook(f.leases); err != nil {
		return err
	}
	d.pool = transfer.NewPool(transfer.Options{Logger: d.opt.Logger})
	defer func() { err = errors.Join(err, d.closeStores()) }()
	if err := d.setLeases(f.leases); err != nil {
		return err
	}
	if err := d.openStores(); err != nil {
		return err
	}
	if len(found.Heads) > 0 {
		device, err := d.cfg.DeviceID()
		if err != nil {
			return err
		}
		rec, err := engine.Recover(ctx, d.keys, d.pool, d.index, *found, device, d.opt.Logger)
		if err != nil {
			return fmt.Errorf("read the drive's log: %w", err)
		}
		f.report.Problems = append(f.report.Problems, rec.Warnings...)
	}
	if err := d.checkpoint(); err != nil {
		return err
	}
	st := d.index.Stats()
	f.report.Files, f.report.Bytes = st.Files, st.Bytes
	f.report.Revision, f.report.Time = uint64(d.index.LastRev()), d.index.LastRev().Time()
	if err := h.saveConfig(d.cfg); err != nil {
		return err
	}
	return removeStale(h.path(unfinished))
}

// noHead explains why nothing can be restored.
func (f *finder) noHead(urls []string) error {
	switch {
	case len(urls) == 0:
		return fmt.Errorf("no provider is known: name one that holds a lease of this drive with --provider URL")
	case len(f.leases) == 0 && len(f.report.Unreachable) > 0:
		return fmt.Errorf("none of the providers could be asked: %v", f.report.Unreachable)
	case len(f.leases) == 0:
		return fmt.Errorf("the providers hold no lease of this phrase: %w; is it the right phrase, and the right provider?", ErrNotFound)
	}
	return fmt.Errorf("the leases of this phrase hold no published state: %w (unreachable: %v)", ErrNotFound, f.report.Unreachable)
}
