-- Migration: add the project archive
-- Created: 2025-10-13T08:10:00Z
-- Description: When a project was archived, and the overview of those that are not.

ALTER TABLE projects ADD COLUMN archived_at timestamptz;

-- Somebody may have archived a project since 014; the last change is the best guess at when. Without the trigger, or
-- the guess itself would count as the last change.
ALTER TABLE projects DISABLE TRIGGER projects_set_updated_at;
UPDATE projects SET archived_at = updated_at WHERE status = 'archived';
ALTER TABLE projects ENABLE TRIGGER projects_set_updated_at;

-- Both sides of "=" are true or false, never NULL, so neither can be set without the other.
ALTER TABLE projects
  ADD CONSTRAINT projects_archived_check CHECK ((status = 'archived') = (archived_at IS NOT NULL));

-- security_invoker (PostgreSQL 15): read with the rights of whoever asks, not of the view's owner.
CREATE VIEW project_overview WITH (security_invoker = true) AS
SELECT
  projects.id,
  projects.name,
  projects.status,
  owners.display_name AS owner_name,
  coalesce((projects.settings #>> '{grid,snap}')::boolean, true) AS snaps_to_grid,
  members.member_count,
  -- The start page shows three faces and a number.
  members.names[1:3] AS first_members,
  threads.thread_count,
  threads.last_message_at,
  covers.name AS cover_name,
  projects.due_on,
  coalesce(projects.due_on < current_date, false) AND projects.status <> 'done' AS is_overdue
FROM projects
JOIN users AS owners ON owners.id = projects.owner_id
LEFT JOIN files AS covers ON covers.id = projects.cover_file_id AND covers.deleted_at IS NULL
-- Two LATERAL counts instead of two joins: joining members and messages at once would multiply them.
CROSS JOIN LATERAL (
  SELECT
    count(*) AS member_count,
    -- NULL would be no list at all for a project without members.
    coalesce(
      array_agg(users.display_name ORDER BY project_members.joined_at, users.display_name),
      '{}'::text[]
    ) AS names
  FROM project_members
  JOIN users ON users.id = project_members.user_id
  WHERE project_members.project_id = projects.id
) AS members
CROSS JOIN LATERAL (
  SELECT
    count(*) FILTER (WHERE messages.parent_id IS NULL) AS thread_count,
    max(messages.created_at) AS last_message_at
  FROM messages
  WHERE messages.project_id = projects.id
) AS threads
WHERE projects.status <> 'archived';

COMMENT ON VIEW project_overview IS 'One row for each project that is not archived: what the start page shows.';
