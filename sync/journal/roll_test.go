package journal

import "testing"

// Records go on in the next segment, and all of them come back.
func TestRoll(t *testing.T) {
	dir := t.TempDir()
	opt := Options{SegmentSize: minSegmentSize, BootID: "boot"}
	j, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Replay(func(Record) error { return nil }); err != nil {
		t.Fatal(err)
	}
	var first, last Ref
	for i := range 3 {
		if last, err = j.Append(1, []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = last
		}
		for range 2 { // the second has nothing to do
			if err := j.Roll(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if last.Segment != first.Segment+2 {
		t.Errorf("the third record is in segment %d, the first in %d", last.Segment, first.Segment)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if j, err = Open(dir, opt); err != nil {
		t.Fatal(err)
	}
	var got []byte
	if err := j.Replay(func(r Record) error { got = append(got, r.Body...); return nil }); err != nil {
		t.Fatal(err)
	}
	if string(got) != "\x00\x01\x02" {
		t.Errorf("replayed %x", got)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}
