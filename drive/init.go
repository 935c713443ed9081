package drive

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/phrase"
)

// DefaultNetwork is the network of a new HOME when none is named.
const DefaultNetwork = "cloudcoin"

// Init makes a new drive and returns its 24 words. With phraseFile they are written there too; the file must not exist, and it is
// written before the drive is made, so that no drive is ever without its words.
func Init(opt Options, phraseFile string) (words string, err error) {
	if opt.Home.Exists() {
		return "", fmt.Errorf("%s: %w; choose another --home", opt.Home.Dir, ErrHasDrive)
	}
	p, err := phrase.New(rand.Reader)
	if err != nil {
		return "", fmt.Errorf("make the phrase: %w", err)
	}
	if phraseFile != "" {
		if err := writeNewFile(phraseFile, p.Words()+"\n"); err != nil {
			return "", err
		}
	}
	if _, err := opt.Home.Create(opt.network(DefaultNetwork), p, time.Now()); err != nil {
		return "", err
	}
	return p.Words(), nil
}

// writeNewFile writes a secret to a file that must not exist, durably, mode 0600.
func writeNewFile(path, content string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists; name a new file, so that no other phrase is overwritten", path)
	}
	if err != nil {
		return fmt.Errorf("write the phrase: %w", err)
	}
	_, err = io.WriteString(f, content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write the phrase to %s: %w", path, err)
	}
	return nil
}

// readPhrase reads the 24 words from a file, or from stdin when its name is "-".
func readPhrase(path string, stdin io.Reader) (phrase.Phrase, error) {
	var b []byte
	var err error
	const limit = 4096 // 24 words of at most 8 letters take 216 bytes
	if path == "-" {
		b, err = io.ReadAll(io.LimitReader(stdin, limit))
	} else {
		var f *os.File
		if f, err = os.Open(path); err == nil {
			defer f.Close()
			b, err = io.ReadAll(io.LimitReader(f, limit))
		}
	}
	if err != nil {
		return phrase.Phrase{}, fmt.Errorf("read the phrase: %w", err)
	}
	p, err := phrase.Parse(string(b))
	if err != nil {
		return phrase.Phrase{}, fmt.Errorf("the phrase in %s: %w", path, err)
	}
	return p, nil
}
