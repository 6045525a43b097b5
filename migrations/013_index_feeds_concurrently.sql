-- Migration: index the feeds
-- Created: 2025-10-06T16:50:00Z
-- Description: Indexes for the three lists on the start page, built while the studio works.

-- PostgreSQL refuses CONCURRENTLY inside a transaction, so this file holds nothing else: it runs statement by
-- statement, and a failure in the middle leaves what came before.
--
-- No IF NOT EXISTS: a build that was broken off leaves an invalid index of that name, and IF NOT EXISTS would take it
-- for a good one. Should that happen: DROP INDEX CONCURRENTLY the invalid one; then run again.

-- A project's feed: newest first, replies are fetched when a thread is opened.
CREATE INDEX CONCURRENTLY messages_feed_idx
  ON messages (project_id, created_at DESC, id)
  WHERE parent_id IS NULL;

-- "Recently uploaded". INCLUDE lets the list be read from the index alone.
CREATE INDEX CONCURRENTLY file_versions_recent_idx
  ON file_versions (created_at DESC)
  INCLUDE (file_id, version_no);

-- "Due soon" shows running projects only; most rows are finished ones.
CREATE INDEX CONCURRENTLY projects_due_idx
  ON projects (due_on)
  WHERE status IN ('active', 'on_hold');
