package mirror

import "testing"

func TestNode_TextThatEveryReaderTakesForText(t *testing.T) {
	for value, want := range map[string]bool{
		`"1.10"`: true, `'7'`: true, `v1.10`: true, `1.2.3`: true, `2.8-alpine`: true, `latest`: true, `"on"`: true, `1.24-alpine-slim`: true,
		`1.10`: false, `7`: false, `1e3`: false, `0x1F`: false, `017`: false, `1_000`: false, `1:30`: false, `12:30:45`: false, `.5`: false,
		`2024-01-02`: false, `yes`: false, `Off`: false, `true`: false, `~`: false, ``: false, `{}`: false, `[a]`: false, `.inf`: false,
		`20240102-1`: true, `sha256:00`: true, `deadbeef`: true,
	} {
		n, ps := ParseDocument("f", []byte("k: "+value+"\n"))
		if err := ps.Err(); err != nil {
			t.Fatal(err)
		}
		if got := n.Key("k").IsString(); got != want {
			t.Errorf("%s: got %v, want %v", value, got, want)
		}
	}
	if (Node{}).IsString() {
		t.Error("nothing is no text")
	}
}
