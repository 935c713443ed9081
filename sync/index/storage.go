package index

import (
	"context"
	"io"
	"os"

	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/cloudcoin/cloudcoin/sync/journal"
)

// walStorage is leveldb's storage with the project's journal in the place of leveldb's own: leveldb's journal files are never
// written, for each of their batches is a record of the journal already. So on disk leveldb is a set of tables as of one batch, changed
// by one atomic write of its manifest. Before a table counts as written, the journal is made durable up to its end: leveldb never
// holds a batch that a power cut could take from the journal.
type walStorage struct {
	storage.Storage
	j *journal.Journal
}

func (s *walStorage) Create(fd storage.FileDesc) (storage.Writer, error) {
	if fd.Type == storage.TypeJournal {
		return nowhere{}, nil
	}
	w, err := s.Storage.Create(fd)
	if err != nil || fd.Type != storage.TypeTable {
		return w, err
	}
	return &walWriter{w, s.j}, nil
}

func (s *walStorage) Open(fd storage.FileDesc) (storage.Reader, error) {
	if fd.Type == storage.TypeJournal {
		return nil, os.ErrNotExist
	}
	return s.Storage.Open(fd)
}

func (s *walStorage) Remove(fd storage.FileDesc) error {
	if fd.Type == storage.TypeJournal {
		return nil
	}
	return s.Storage.Remove(fd)
}

func (s *walStorage) List(ft storage.FileType) ([]storage.FileDesc, error) {
	if ft &^= storage.TypeJournal; ft == 0 {
		return nil, nil
	}
	return s.Storage.List(ft)
}

// walWriter is a table being written.
type walWriter struct {
	storage.Writer
	j *journal.Journal
}

// Sync keeps the order: first the journal, then what is derived from it.
func (w *walWriter) Sync() error {
	if err := w.j.Sync(context.Background(), w.j.End()); err != nil {
		return err
	}
	return w.Writer.Sync()
}

// nowhere is a journal file of leveldb.
type nowhere struct{ io.Writer }

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) Sync() error                 { return nil }
func (nowhere) Close() error                { return nil }
