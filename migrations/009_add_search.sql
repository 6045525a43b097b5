-- Migration: add search
-- Created: 2025-09-17T14:25:00Z
-- Description: Full-text search over the messages and file names of a project.

-- SET LOCAL ends with the transaction; a plain SET would stay with the connection.
SET LOCAL maintenance_work_mem = '128MB';

-- STORED is not optional: PostgreSQL 18 makes a generated column virtual by default, and that cannot be indexed.
-- Adding one rewrites the table under an exclusive lock; with a hundred thousand messages that is seconds. On a table
-- too big for that: a plain column, a trigger, a backfill in batches, and CREATE INDEX CONCURRENTLY; in files of their
-- own.
ALTER TABLE messages
  ADD COLUMN search_vector tsvector GENERATED ALWAYS AS (to_tsvector('english', body)) STORED;

-- 'simple' and not 'english': names are not prose, and "the.pdf" must be found. The parser takes "küche-v2.pdf" for a
-- host name, one word; blanks for . _ - give three. Naming the configuration is what makes the expression immutable.
ALTER TABLE files
  ADD COLUMN search_vector tsvector
    GENERATED ALWAYS AS (to_tsvector('simple', translate(name, '._-', '   '))) STORED;

CREATE INDEX messages_search_vector_idx ON messages USING gin (search_vector);
CREATE INDEX files_search_vector_idx ON files USING gin (search_vector) WHERE deleted_at IS NULL;

-- A body in BEGIN ATOMIC is parsed now, not at the first call: names are bound to these tables whatever the caller's
-- search_path says, and no column it uses can be dropped under it.
CREATE FUNCTION search_project(p_project_id uuid, p_query text, p_limit integer DEFAULT 20)
RETURNS TABLE (kind text, id uuid, excerpt text, rank real, created_at timestamptz)
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    CASE WHEN messages.parent_id IS NULL THEN 'message' ELSE 'reply' END AS kind,
    messages.id,
    left(messages.body, 120) AS excerpt,
    ts_rank(messages.search_vector, websearch_to_tsquery('english', p_query)) AS rank,
    messages.created_at
  FROM messages
  WHERE messages.project_id = p_project_id
    AND messages.search_vector @@ websearch_to_tsquery('english', p_query)

  UNION ALL

  -- Dots and underscores become blanks as in the column; a "-" stays: in a query it means "not".
  SELECT
    'file' AS kind,
    files.id,
    files.name AS excerpt,
    ts_rank(files.search_vector, websearch_to_tsquery('simple', translate(p_query, '._', '  '))) AS rank,
    files.created_at
  FROM files
  WHERE files.project_id = p_project_id
    AND files.deleted_at IS NULL
    AND files.search_vector @@ websearch_to_tsquery('simple', translate(p_query, '._', '  '))

  -- The id settles ties, so that two calls give one order.
  ORDER BY rank DESC, created_at DESC, id
  LIMIT p_limit;
END;

COMMENT ON FUNCTION search_project(uuid, text, integer) IS
  'Messages, replies and live files of a project, best first. Takes what people type: words, "a phrase", or, -not.';
