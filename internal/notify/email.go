package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"net/url"
	"time"
)

// Email sends messages by SMTP (RFC 5321), over TLS from the start (smtps) or after STARTTLS (smtp).
type Email struct {
	URL      Source // smtp://host:port or smtps://host:port
	From     string
	To       []string
	Username string
	Password Source
	TLS      *tls.Config // trust and identity; nil: those of the system
	Insecure bool        // a server that offers no TLS is spoken to in clear
}

// mailWithin bounds one mail where the context does not.
const mailWithin = 30 * time.Second

// Send sends the message to all receivers or to none.
func (e Email) Send(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, mailWithin)
	defer cancel()
	address, err := e.URL.read(ctx)
	if err != nil {
		return err
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return &Failure{Final: true, what: "its address is malformed"}
	}
	letter, err := e.letter(m)
	if err != nil {
		return &Failure{Final: true, what: err.Error()}
	}
	client, err := e.dial(ctx, u)
	if err != nil {
		return answered(err)
	}
	defer client.Close()
	return answered(e.deliver(ctx, client, u.Hostname(), letter))
}

// dial connects, and secures the connection.
func (e Email) dial(ctx context.Context, u *url.URL) (*smtp.Client, error) {
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = map[bool]string{true: "465", false: "587"}[u.Scheme == "smtps"]
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	line := conn
	context.AfterFunc(ctx, func() { line.SetDeadline(time.Unix(1, 0)) }) // net/smtp knows no context, which Send ends
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.TLS != nil {
		settings = e.TLS.Clone()
	}
	settings.ServerName = host
	if u.Scheme == "smtps" {
		conn = tls.Client(conn, settings)
	}
	client, err := smtp.NewClient(&bounded{conn, maxAnswer}, host)
	if err != nil {
		conn.Close()
		return nil, err
	}
	if u.Scheme == "smtps" {
		return client, nil
	}
	if offers, _ := client.Extension("STARTTLS"); offers {
		err = client.StartTLS(settings)
	} else if !e.Insecure {
		err = &Failure{Final: true, what: "the mail server offers no TLS"}
	}
	if err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

// deliver logs in and hands the letter over.
func (e Email) deliver(ctx context.Context, client *smtp.Client, host string, letter []byte) error {
	if e.Username != "" {
		password, err := e.Password.read(ctx)
		if err != nil {
			return err
		}
		if err := client.Auth(smtp.PlainAuth("", e.Username, password, host)); err != nil {
			return err
		}
	}
	from, err := mail.ParseAddress(e.From)
	if err != nil {
		return &Failure{Final: true, what: "the sender is no mail address"}
	}
	if err := client.Mail(from.Address); err != nil {
		return err
	}
	for _, text := range e.To {
		to, err := mail.ParseAddress(text)
		if err != nil {
			return &Failure{Final: true, what: "a receiver is no mail address"}
		}
		if err := client.Rcpt(to.Address); err != nil {
			return err
		}
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(letter); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	client.Quit() // it is delivered, whatever comes now
	return nil
}

// letter gives the mail (RFC 5322).
func (e Email) letter(m Message) ([]byte, error) {
	from, err := mail.ParseAddress(e.From)
	if err != nil {
		return nil, errors.New("the sender is no mail address")
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: %s\r\n", from)
	for i, text := range e.To {
		to, err := mail.ParseAddress(text)
		if err != nil {
			return nil, errors.New("a receiver is no mail address")
		}
		fmt.Fprintf(&b, "%s%s", map[bool]string{true: "To: ", false: ",\r\n "}[i == 0], to)
	}
	_, domain, _ := bytes.Cut([]byte(from.Address), []byte("@"))
	fmt.Fprintf(&b, "\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s@%s>\r\nAuto-Submitted: auto-generated\r\n",
		mime.QEncoding.Encode("utf-8", m.title()), m.At.Format(time.RFC1123Z), m.ID, domain)
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	q := quotedprintable.NewWriter(&b)
	if _, err := io.WriteString(q, m.plain()); err != nil {
		return nil, err
	}
	return b.Bytes(), q.Close()
}

// answered turns what a server answered into a Failure, without its words.
func answered(err error) error {
	answer, ok := errors.AsType[*textproto.Error](err)
	if !ok {
		return err
	}
	return &Failure{Status: answer.Code, Final: answer.Code >= 500, what: fmt.Sprintf("the mail server answers %d", answer.Code)}
}

// bounded is a connection of which only so much is read.
type bounded struct {
	net.Conn
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, &Failure{what: "the mail server talks without end"}
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
