-- Migration: add search (down)
-- Created: 2025-09-17T14:25:00Z
-- Description: Removes search. Nothing is lost: both columns were computed from others.

-- The reverse order of the up script: the function first, because its body depends on the columns.
DROP FUNCTION search_project(uuid, text, integer);

DROP INDEX files_search_vector_idx;
DROP INDEX messages_search_vector_idx;

ALTER TABLE files DROP COLUMN search_vector;
ALTER TABLE messages DROP COLUMN search_vector;
