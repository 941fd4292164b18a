// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	logpkg "github.com/go-mysql-org/go-mysql/mysql"
	driverpkg "github.com/go-sql-driver/mysql"

	"github.com/syncline-dev/syncline/internal/connector"
	"github.com/syncline-dev/syncline/internal/fault"
)

// verdict is what an error number means.
type verdict struct {
	class   connector.Class
	code    string
	message string // ends the sentence "While <doing>: "; "" shows the server's own words
}

// verdicts classify the server's errors by number. What is not listed concerns a single record when it came up while
// writing, else it is tried again.
// Source: MySQL 8.4 Server Error Reference; MariaDB Error Codes.
var verdicts = map[uint16]verdict{}

func init() {
	list := func(class connector.Class, code, message string, numbers ...uint16) {
		for _, n := range numbers {
			verdicts[n] = verdict{class, code, message}
		}
	}
	list(connector.Reconnect, "mysql.login", "the server does not accept the user or the password. Correct them in the connection", 1045, 1698, 1862, 3118, 1820, 1524, 1275, 2059, 4151)
	list(connector.Reconnect, "mysql.database", "the database does not exist or the user has no access to it. Correct the name, or grant access", 1044, 1049)
	list(connector.Reconnect, "mysql.host_refused", "the server does not let this address in. Create the account for our address, and unblock it with FLUSH HOSTS where it was blocked", 1129, 1130)
	list(connector.Reconnect, "mysql.permission", "the account lacks a permission", 1142, 1143, 1227, 1370, 1419, 3878)
	list(connector.Drift, "mysql.shape", "the table or a column is not there as it was when it was discovered. Look at what changed in the table and at the mapping", 1146, 1054, 1051, 1109, 1136, 1176, 1932)
	list(connector.Retry, "mysql.lock", "another transaction holds the rows", 1205, 1213, 1020, 3572, 3058)
	list(connector.Retry, "mysql.unavailable", "the server stopped the statement or is shutting down", 1053, 1152, 1153, 1154, 1155, 1156, 1157, 1158, 1159, 1160, 1161, 1184, 1317, 1927, 1969, 2006, 2013, 2055, 3024, 3169, 4031)
	list(connector.Retry, "mysql.read_only", "the server is read-only at the moment, as replicas and servers in maintenance are. Connect the primary when this lasts", 1290, 1792, 1836, 3100)
	list(connector.Retry, "mysql.full", "the server has no room left (disk, memory, or lock table)", 3, 28, 1021, 1037, 1038, 1041, 1114, 1206, 1030)
	list(connector.SlowDown, "mysql.too_many_connections", "the server has no connection free", 1040, 1203)
	list(connector.SlowDown, "mysql.budget", "what the account may do in an hour, or at once, is used up. Raise the limits of the account", 1226)
	list(connector.LostPlace, "mysql.log_purged", "the binary log no longer holds the place where reading stood; the table is read anew", 1236, 1373)
	list(connector.Reject, "mysql.duplicate", "", 1062, 1169, 1586, 1859)
	list(connector.Reject, "mysql.null", "", 1048, 1364, 1263)
	list(connector.Reject, "mysql.too_long", "", 1406)
	list(connector.Reject, "mysql.out_of_range", "", 1264, 1690, 1441)
	list(connector.Reject, "mysql.not_valid", "", 1366, 1292, 1265, 1300, 1411, 1525, 3140, 3141, 3156, 1977, 3854, 4078)
	list(connector.Reject, "mysql.reference_missing", "", 1452, 1216)
	list(connector.Reject, "mysql.still_referenced", "", 1451, 1217)
	list(connector.Reject, "mysql.check_failed", "", 3819, 4025)
	list(connector.Reject, "mysql.trigger_refused", "", 1644)
}

// number is the server's error number, 0 when the error is not the server's.
func number(err error) uint16 {
	var d *driverpkg.MySQLError
	if errors.As(err, &d) {
		return d.Number
	}
	var l *logpkg.MyError
	if errors.As(err, &l) {
		return l.Code
	}
	return 0
}

// classify turns whatever came back into the contract's error; doing is what was being done ("reading orders").
func classify(err error, doing string) error {
	if err == nil {
		return nil
	}
	var own *connector.Error
	if errors.As(err, &own) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if n := number(err); n != 0 {
		if v, known := verdicts[n]; known {
			return v.error(err, doing)
		}
		return &connector.Error{Class: connector.Retry, Code: "mysql.server_error", Message: fmt.Sprintf("While %s: the server answered: %s. It will be tried again.", doing, saying(err)), Err: err}
	}
	var (
		dns       *net.DNSError
		unknownCA x509.UnknownAuthorityError
		wrongName x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return &connector.Error{Class: connector.Reconnect, Code: "mysql.host_unknown", Message: "The host's name is not known. Correct it in the connection.", Err: err}
	case errors.As(err, &unknownCA), errors.As(err, &wrongName), errors.As(err, &invalid), errors.As(err, &verify):
		return &connector.Error{Class: connector.Reconnect, Code: "mysql.certificate", Message: "The server's certificate is not valid for the host. Install a valid one, or choose the encryption `required`, which does not check it.", Err: err}
	case errors.Is(err, driverpkg.ErrNoTLS):
		return &connector.Error{Class: connector.Reconnect, Code: "mysql.no_encryption", Message: "The server offers no encryption, but the connection requires it. Switch it on there, or choose another encryption.", Err: err}
	case errors.Is(err, driverpkg.ErrNativePassword), errors.Is(err, driverpkg.ErrCleartextPassword), errors.Is(err, driverpkg.ErrOldPassword), errors.Is(err, driverpkg.ErrUnknownPlugin):
		return &connector.Error{Class: connector.Reconnect, Code: "mysql.login", Message: "The account uses a way of logging in that is not supported. Use mysql_native_password, caching_sha2_password or ed25519.", Err: err}
	}
	if f := fault.As(err); f != nil && f.Kind != fault.Unavailable {
		return &connector.Error{Class: connector.Reconnect, Code: "mysql.address_refused", Message: f.Message, Err: err}
	}
	return &connector.Error{Class: connector.Retry, Code: "mysql.unreachable", Message: fmt.Sprintf("While %s: the server did not answer. It will be tried again.", doing), Err: err}
}

func (v verdict) error(err error, doing string) *connector.Error {
	e := &connector.Error{Class: v.class, Code: v.code, Err: err}
	switch {
	case v.message == "":
		e.Message = "The database refused the record: " + saying(err) + "."
	case v.code == "mysql.permission":
		e.Message = fmt.Sprintf("While %s: the account lacks a permission; the server says: %s. Grant it.", doing, saying(err))
	default:
		e.Message = fmt.Sprintf("While %s: %s.", doing, v.message)
	}
	if v.class == connector.SlowDown {
		e.After = 5 * time.Second
	}
	return e
}

// saying is the server's own words, without its numbers.
func saying(err error) string {
	var d *driverpkg.MySQLError
	if errors.As(err, &d) {
		return strings.TrimSuffix(strings.TrimSpace(d.Message), ".")
	}
	var l *logpkg.MyError
	if errors.As(err, &l) {
		return strings.TrimSuffix(strings.TrimSpace(l.Message), ".")
	}
	return err.Error()
}

// concernsRecord says whether a statement failed for what a single record holds, so that the others can still be
// written: any error of the server but those that concern the statement, the connection or the server as a whole.
func concernsRecord(err error) bool {
	n := number(err)
	if n == 0 {
		return false
	}
	v, known := verdicts[n]
	return !known && n != 1064 && n != 1149 || known && v.class == connector.Reject
}

// refusal is the error of the receipt of a record that the server did not take.
func refusal(err error) *connector.Error {
	if v, known := verdicts[number(err)]; known {
		return v.error(err, "writing")
	}
	return &connector.Error{Class: connector.Reject, Code: "mysql.refused", Message: "The database refused the record: " + saying(err) + ".", Err: err}
}

// lost says that the object must be read anew.
func lost(code, format string, args ...any) *connector.Error {
	return &connector.Error{Class: connector.LostPlace, Code: code, Message: fmt.Sprintf(format, args...)}
}
