-- Migration: validate the foreign key of project covers
-- Created: 2025-09-29T08:35:00Z
-- Description: Clears covers whose file is gone, then checks the rows from before 011.

-- New rows are safe since 011, so what this finds cannot grow back while it runs. updated_at moves with it, and should:
-- readers see another project card.
UPDATE projects
SET cover_file_id = NULL
WHERE cover_file_id IS NOT NULL
  AND NOT EXISTS (
    SELECT FROM files WHERE files.project_id = projects.id AND files.id = projects.cover_file_id
  );

-- Reads the whole table, but under a lock that lets others read and write.
ALTER TABLE projects VALIDATE CONSTRAINT projects_cover_file_fkey;
