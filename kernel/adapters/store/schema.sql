-- The tables of a new SQLite journal: what the migrations end in, so that a first start need not
-- import them. tests/unit/test_journal_schema.py proves it equal to what they make.
BEGIN IMMEDIATE;

CREATE TABLE approvals (
  id VARCHAR NOT NULL,
  run VARCHAR,
  call VARCHAR,
  owner VARCHAR,
  status VARCHAR,
  choice VARCHAR,
  question VARCHAR,
  asked_us BIGINT,
  expires_us BIGINT,
  answered_us BIGINT,
  answered_by VARCHAR,
  reason VARCHAR,
  PRIMARY KEY (id)
);

CREATE TABLE blobs (
  digest BLOB NOT NULL,
  content BLOB NOT NULL,
  PRIMARY KEY (digest)
);

CREATE TABLE capabilities (
  id VARCHAR NOT NULL,
  holder VARCHAR,
  resource VARCHAR,
  rights VARCHAR,
  parent VARCHAR,
  expires_us BIGINT,
  uses BIGINT,
  uses_left BIGINT,
  origin VARCHAR,
  revoked INTEGER DEFAULT 0,
  PRIMARY KEY (id)
);

CREATE TABLE chunks (
  number INTEGER NOT NULL,
  root BLOB NOT NULL,
  PRIMARY KEY (number)
);

CREATE TABLE entries (
  seq INTEGER NOT NULL,
  time_us BIGINT NOT NULL,
  principal VARCHAR NOT NULL,
  stream VARCHAR NOT NULL,
  kind VARCHAR NOT NULL,
  digest BLOB NOT NULL,
  blobs BLOB,
  leaf BLOB NOT NULL,
  payload BLOB,
  PRIMARY KEY (seq)
);

CREATE INDEX entries_stream ON entries (stream, seq);

CREATE TABLE messages (
  seq INTEGER NOT NULL,
  session VARCHAR,
  turn INTEGER,
  role VARCHAR,
  terms VARCHAR,
  PRIMARY KEY (seq)
);

CREATE VIRTUAL TABLE message_terms USING fts5(
  terms, content='messages', content_rowid='seq', detail=none, columnsize=0, prefix='1 2 3 4', tokenize='ascii'
);

CREATE TRIGGER messages_said AFTER INSERT ON messages BEGIN
  INSERT INTO message_terms (rowid, terms) VALUES (new.seq, new.terms);
END;

CREATE TRIGGER messages_unsaid AFTER DELETE ON messages BEGIN
  INSERT INTO message_terms (message_terms, rowid, terms) VALUES ('delete', old.seq, old.terms);
END;

CREATE TRIGGER messages_changed AFTER UPDATE OF terms ON messages BEGIN
  INSERT INTO message_terms (message_terms, rowid, terms) VALUES ('delete', old.seq, old.terms);
  INSERT INTO message_terms (rowid, terms) VALUES (new.seq, new.terms);
END;

CREATE TABLE probe (
  id INTEGER NOT NULL,
  content BLOB NOT NULL,
  PRIMARY KEY (id)
);

CREATE TABLE runs (
  id VARCHAR NOT NULL,
  seed VARCHAR,
  owner VARCHAR,
  status VARCHAR,
  goal VARCHAR,
  persona VARCHAR,
  model VARCHAR,
  workspace VARCHAR,
  started_us BIGINT,
  updated_us BIGINT,
  finished_us BIGINT,
  turns INTEGER DEFAULT 0,
  note VARCHAR,
  verdict VARCHAR,
  PRIMARY KEY (id)
);

CREATE INDEX runs_seed ON runs (seed, started_us);

CREATE TABLE seeds (
  id VARCHAR NOT NULL,
  parent VARCHAR,
  generation INTEGER DEFAULT 0,
  goal VARCHAR,
  created_us BIGINT,
  digest VARCHAR,
  source VARCHAR,
  PRIMARY KEY (id)
);

CREATE TABLE sessions (
  id VARCHAR NOT NULL,
  name VARCHAR,
  owner VARCHAR,
  status VARCHAR,
  model VARCHAR,
  persona VARCHAR,
  workspace VARCHAR,
  created_us BIGINT,
  updated_us BIGINT,
  turns INTEGER DEFAULT 0,
  opening VARCHAR,
  pinned INTEGER DEFAULT 0,
  named BIGINT,
  parent VARCHAR,
  parent_turn INTEGER,
  PRIMARY KEY (id)
);

CREATE INDEX sessions_owner ON sessions (owner, updated_us);

CREATE TABLE state (
  "key" VARCHAR NOT NULL,
  value VARCHAR,
  PRIMARY KEY ("key")
);

CREATE TABLE tokens (
  id VARCHAR NOT NULL,
  owner VARCHAR,
  name VARCHAR,
  scopes VARCHAR,
  digest VARCHAR,
  created_us BIGINT,
  created_by VARCHAR,
  expires_us BIGINT,
  revoked_us BIGINT,
  PRIMARY KEY (id)
);

CREATE TABLE tree (
  id INTEGER NOT NULL,
  size BIGINT NOT NULL,
  time_us BIGINT NOT NULL,
  peaks BLOB NOT NULL,
  note VARCHAR NOT NULL,
  PRIMARY KEY (id)
);

CREATE TABLE users (
  name VARCHAR NOT NULL,
  role VARCHAR,
  workspace VARCHAR,
  created_us BIGINT,
  created_by VARCHAR,
  changed_us BIGINT,
  removed_us BIGINT,
  PRIMARY KEY (name)
);

CREATE TABLE alembic_version (
  version_num VARCHAR(32) NOT NULL,
  CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

INSERT INTO alembic_version (version_num) VALUES ('0006');

COMMIT;
