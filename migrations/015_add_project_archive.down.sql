-- Migration: add the project archive (down)
-- Created: 2025-10-13T08:10:00Z
-- Description: Back to 014: archived projects stay archived, but the time is lost.

DROP VIEW project_overview;

-- Dropping the column would drop the constraint with it; said all the same, so that this file names what 015 added.
ALTER TABLE projects
  DROP CONSTRAINT projects_archived_check,
  DROP COLUMN archived_at;
