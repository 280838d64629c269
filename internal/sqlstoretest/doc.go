// Package sqlstoretest has the tests of keyring/branchkey/sqlstore on databases, and of
// several processes that share the branch keys in one, in a module of its own for the
// drivers.
//
// SQLite needs nothing. PostgreSQL is started by internal/pgtest where it is installed, and
// MariaDB by a test where that is. SEALRING_TEST_MYSQL names another database to use in its
// place, as go-sql-driver/mysql takes it: "root@unix(/run/mysqld/mysqld.sock)/test".
package sqlstoretest
