package engine

import (
	"testing"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// TestRecordsAheadOfThePlan: a head must not name an inode whose extents only a later group brings.
func TestRecordsAheadOfThePlan(t *testing.T) {
	record := func(kind model.ContentKind, rev model.Rev) []model.Record {
		return []model.Record{{Rev: 5, Dirent: &model.Dirent{}}, {Rev: 5, Inode: &model.Inode{Ino: 2, Content: model.Content{Kind: kind, Rev: rev}}}}
	}
	for _, c := range []struct {
		records []model.Record
		want    bool
	}{
		{record(model.ContentStored, 10), false},
		{record(model.ContentStored, 11), true},
		{record(model.ContentNone, 0), false},
		{record(model.ContentStaged, 11), false}, // refused by the log's writer
		{nil, false},
	} {
		if got := ahead(c.records, 10); got != c.want {
			t.Errorf("%+v: %v", c.records, got)
		}
	}
}
