CREATE TABLE patients (
	id        TEXT PRIMARY KEY,
	tenant    TEXT NOT NULL,
	ssn       BYTEA,
	notes     BYTEA,
	ssn_index BYTEA
);
