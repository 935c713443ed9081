package journal

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// disk keeps what every segment held when its last fdatasync began: the least that a power cut leaves.
type disk struct {
	mu    sync.Mutex
	files map[string][]byte
}

func (d *disk) sync(f *os.File) error {
	b, err := os.ReadFile(f.Name())
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[filepath.Base(f.Name())] = b
	return nil
}

// holds fails the test when a record that is durable isn't on the disk.
func (d *disk) holds(t *testing.T, k kept) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.files[segmentName(k.ref.Segment)]
	if int64(len(b)) < k.ref.Off+k.ref.Len || !bytes.Equal(b[k.ref.Off:k.ref.Off+k.ref.Len], k.body) {
		t.Errorf("the record at %d of segment %d counts as durable and was not synced", k.ref.Off, k.ref.Segment)
	}
}

// TestSegmentFullWhileItIsSynced: what came into a segment while it was being synced isn't durable when that sync ends, also when the segment is full by then.
func TestSegmentFullWhileItIsSynced(t *testing.T) {
	j, _ := open(t, t.TempDir(), small)
	d := &disk{files: map[string][]byte{}}
	var during []kept
	first := true
	j.datasync = func(f *os.File) error {
		err := d.sync(f)
		if first {
			first = false
			for len(during) == 0 || during[len(during)-1].ref.Segment == 1 {
				during = append(during, fill(t, j, len(during), 1, sizes)...)
			}
		}
		return err
	}
	before := fill(t, j, 1000, 3, sizes)
	for _, upTo := range []LSN{before[2].ref.LSN, j.End()} {
		if err := j.Sync(context.Background(), upTo); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Sync(context.Background(), j.End()); err != nil {
		t.Fatal(err)
	}
	for _, k := range append(before, during...) {
		d.holds(t, k)
	}
}

// TestDurableMeansSynced: whatever Sync says is durable was in its file when a sync of that began.
func TestDurableMeansSynced(t *testing.T) {
	j, _ := open(t, t.TempDir(), small)
	d := &disk{files: map[string][]byte{}}
	j.datasync = d.sync
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 60 {
				k := fill(t, j, g*1000+i, 1, sizes)[0]
				if err := j.Sync(context.Background(), k.ref.LSN); err != nil {
					t.Error(err)
					return
				}
				d.holds(t, k)
			}
		})
	}
	wg.Wait()
}
