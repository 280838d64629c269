// Package sqlstoretest has the tests of keyring/branchkey/sqlstore on databases, in a
// module of its own for the drivers.
//
// SQLite needs nothing. PostgreSQL is started by internal/pgtest where it is installed.
// MySQL or MariaDB is used where SEALRING_TEST_MYSQL has how to connect to an empty
// database as go-sql-driver/mysql takes it: "root@unix(/run/mysqld/mysqld.sock)/test".
package sqlstoretest
