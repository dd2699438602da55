package git

import "testing"

func TestUnified_TellsWhatChangesAsPatchReadsIt(t *testing.T) {
	tests := []struct{ name, old, new, want string }{
		{"the same", "a\nb\n", "a\nb\n", ""},
		{"nothing at all", "", "", ""},
		{"comes", "", "a\nb\n", "@@ -0,0 +1,2 @@\n+a\n+b\n"},
		{"goes", "a\n", "", "@@ -1 +0,0 @@\n-a\n"},
		{"a line among many", "1\n2\n3\n4\n5\n6\n7\n8\n", "1\n2\n3\n4\nfive\n6\n7\n8\n", "@@ -3,5 +3,5 @@ 2\n 3\n 4\n-5\n+five\n 6\n 7\n"},
		{"at the end of its file", "a\nb", "a\nc", "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n"},
		{"what looks like a hunk", "x\n", "x\n@@ -1 +1 @@\n", "@@ -1 +1,2 @@\n x\n+@@ -1 +1 @@\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Unified([]byte(tt.old), []byte(tt.new))
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
