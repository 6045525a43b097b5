-- Migration: add the foreign key of project covers
-- Created: 2025-09-29T08:20:00Z
-- Description: From now on a cover is a file of the same project. Rows from before are checked in 012.

-- NOT VALID: new and changed rows are checked at once, old ones are not read, so the lock on both tables is held for
-- a moment only. Validating in this file would keep that lock while it reads every row: locks end with the transaction.
--
-- SET NULL with a column list (PostgreSQL 15): only the cover is cleared. Without the list it would try to clear
-- projects.id too. No further index: the delete looks for id and cover_file_id, and id is the primary key.
ALTER TABLE projects
  ADD CONSTRAINT projects_cover_file_fkey FOREIGN KEY (id, cover_file_id)
    REFERENCES files (project_id, id) ON DELETE SET NULL (cover_file_id)
    NOT VALID;
