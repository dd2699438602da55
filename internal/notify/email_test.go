package notify

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strings"
	"testing"
	"time"
)

// postOffice is a small SMTP server, with the certificate of httptest.
type postOffice struct {
	net.Listener
	tls     *tls.Config
	offers  string            // further lines of the answer to EHLO
	answers map[string]string // by the first word of a command
	said    chan []string     // what one client said
}

func newPostOffice(t *testing.T, wrapped bool) (*postOffice, *tls.Config) {
	t.Helper()
	https := httptest.NewTLSServer(nil)
	t.Cleanup(https.Close)
	trust := https.Client().Transport.(*http.Transport).TLSClientConfig
	p := &postOffice{tls: &tls.Config{Certificates: https.TLS.Certificates}, offers: "250-STARTTLS\r\n", answers: map[string]string{}, said: make(chan []string, 10)}
	var err error
	if p.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if wrapped {
		p.Listener = tls.NewListener(p.Listener, p.tls)
	}
	t.Cleanup(func() { p.Close() })
	go func() {
		for {
			conn, err := p.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	return p, trust
}

func (p *postOffice) serve(conn net.Conn) {
	defer conn.Close()
	var said []string
	defer func() { p.said <- said }()
	in := bufio.NewReader(conn)
	fmt.Fprint(conn, "220 mail.example.org\r\n")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		said = append(said, line)
		word, _, _ := strings.Cut(line, " ")
		answer := p.answers[word]
		switch {
		case answer != "":
		case word == "EHLO":
			answer = "250-mail.example.org\r\n" + p.offers + "250 AUTH PLAIN"
		case word == "STARTTLS":
			fmt.Fprint(conn, "220 go on\r\n")
			conn = tls.Server(conn, p.tls)
			in, p.offers = bufio.NewReader(conn), ""
			continue
		case word == "AUTH":
			answer = "235 welcome"
		case word == "DATA":
			fmt.Fprint(conn, "354 go on\r\n")
			for line != "." {
				if line, err = in.ReadString('\n'); err != nil {
					return
				}
				line = strings.TrimRight(line, "\r\n")
				said = append(said, line)
			}
			answer = "250 taken"
		case word == "QUIT":
			fmt.Fprint(conn, "221 bye\r\n")
			return
		default:
			answer = "250 well"
		}
		fmt.Fprint(conn, answer+"\r\n")
	}
}

func letterTo(p *postOffice, scheme string, trust *tls.Config) Email {
	trust = trust.Clone()
	return Email{URL: source(scheme + "://" + p.Addr().String()), From: "Poundlock <poundlock@example.org>", To: []string{"a@example.org", "B <b@example.org>"},
		Username: "poundlock", Password: source("hunter2"), TLS: trust}
}

func TestEmail_ArrivesOverTLS(t *testing.T) {
	m := refused
	m.Reason = "Ungültig: " + strings.Repeat("x", 200) + "\r\n.\r\nRCPT TO:<evil@example.org>"
	m.What = "refused\r\nBcc: evil@example.org"
	for scheme, wrapped := range map[string]bool{"smtp": false, "smtps": true} {
		p, trust := newPostOffice(t, wrapped)
		if err := letterTo(p, scheme, trust).Send(t.Context(), m); err != nil {
			t.Fatalf("%s: %v", scheme, err)
		}
		said := <-p.said
		all := strings.Join(said, "\n")
		for _, want := range []string{"MAIL FROM:<poundlock@example.org>", "RCPT TO:<a@example.org>", "RCPT TO:<b@example.org>", "AUTH PLAIN"} {
			if !strings.Contains(all, want) {
				t.Errorf("%s: %q is missing in\n%s", scheme, want, all)
			}
		}
		data := said[indexOf(said, "DATA")+1:]
		letter, err := mail.ReadMessage(strings.NewReader(strings.Join(data[:len(data)-2], "\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(letter.Body))
		if err != nil || !strings.Contains(string(text), "Ungültig") || letter.Header.Get("Bcc") != "" || letter.Header.Get("Message-Id") != "<01J@example.org>" || strings.Contains(strings.Join(said[:indexOf(said, "DATA")], " "), "evil") {
			t.Errorf("%s: %v\n%s\n%v", scheme, err, text, letter.Header)
		}
	}
}

func indexOf(lines []string, word string) int {
	for i, line := range lines {
		if line == word {
			return i
		}
	}
	return len(lines) - 1
}

// A server that falls silent holds up nobody who is told to stop.
func TestEmail_EndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if conn, err := l.Accept(); err == nil {
			defer conn.Close()
			io.WriteString(conn, "220 mail\r\n")
			bufio.NewReader(conn).ReadString('\n') // it is greeted, and waits for our answer
			cancel()
			io.Copy(io.Discard, conn)
		}
	}()
	began := time.Now()
	err = Email{URL: source("smtp://" + l.Addr().String()), From: "a@example.org", To: []string{"b@example.org"}}.Send(ctx, refused)
	if took := time.Since(began); err == nil || took > mailWithin/2 {
		t.Errorf("%v after %s", err, took)
	}
}

func TestEmail_FailsClosedAndSaysWhetherToTryAgain(t *testing.T) {
	p, trust := newPostOffice(t, false)
	p.offers = ""
	err := letterTo(p, "smtp", trust).Send(t.Context(), refused)
	if f, ok := errors.AsType[*Failure](err); !ok || !f.Final || !strings.Contains(err.Error(), "no TLS") {
		t.Errorf("a server without TLS: %v", err)
	}
	if all := strings.Join(<-p.said, "\n"); strings.Contains(all, "AUTH") {
		t.Errorf("the password went out in clear:\n%s", all)
	}
	for answer, final := range map[string]bool{"451 hunter2, later": false, "550 hunter2, never": true} {
		p, trust := newPostOffice(t, false)
		p.answers["RCPT"] = answer
		err := letterTo(p, "smtp", trust).Send(t.Context(), refused)
		if f, ok := errors.AsType[*Failure](err); !ok || f.Final != final || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", answer, err)
		}
	}
	p, _ = newPostOffice(t, false)
	if err := letterTo(p, "smtp", &tls.Config{}).Send(t.Context(), refused); err == nil {
		t.Error("a certificate that nobody vouches for was taken")
	}
}
