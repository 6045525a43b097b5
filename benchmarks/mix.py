"""The migrations that the suite runs: a mix as services have it, the same for every tool.

Of ten files, four create a table of eight columns with an index and a comment, three alter one, one makes a
function, and two insert rows. No file is larger than a screen, and none needs another one but those before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["files", "tables"]

_TABLE = """-- Orders of one kind, as the shop sends them.
CREATE TABLE orders_{number} (
  id bigserial PRIMARY KEY,
  customer_id bigint NOT NULL,
  status text NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'paid', 'sent')),
  amount numeric(12, 2) NOT NULL DEFAULT 0,
  note text,
  tags text[] NOT NULL DEFAULT '{{}}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz
);
CREATE INDEX orders_{number}_customer_idx ON orders_{number} (customer_id, created_at);
COMMENT ON TABLE orders_{number} IS 'Orders; one row each.';
"""
_ALTERATION = """ALTER TABLE orders_{table} ADD COLUMN extra_{number} integer;
ALTER TABLE orders_{table} ALTER COLUMN note SET DEFAULT '';
"""
_FUNCTION = """CREATE FUNCTION touch_{number}() RETURNS trigger
LANGUAGE plpgsql
AS $body$
BEGIN
  -- now() is the start of the transaction; rows that change together carry the same time.
  NEW.updated_at := now();
  RETURN NEW;
END;
$body$;
CREATE TRIGGER touch BEFORE UPDATE ON orders_{table} FOR EACH ROW EXECUTE FUNCTION touch_{number}();
"""
_ROWS = """INSERT INTO orders_{table} (customer_id, amount, note) VALUES
  (1, 10.50, 'first; it is the customer''s own'),
  (2, 20.00, NULL),
  (3, 99.90, 'at 100 %');
UPDATE orders_{table} SET status = 'paid' WHERE customer_id = 2;
"""
_CYCLE = (
    ("create_orders", _TABLE),
    ("add_extra", _ALTERATION),
    ("seed_orders", _ROWS),
    ("create_orders", _TABLE),
    ("touch_orders", _FUNCTION),
    ("create_orders", _TABLE),
    ("add_extra", _ALTERATION),
    ("seed_orders", _ROWS),
    ("create_orders", _TABLE),
    ("add_extra", _ALTERATION),
)


def files(count: int) -> Iterator[tuple[str, str]]:
    """Names without `.sql`, in order, and texts."""
    table = 0
    for number in range(1, count + 1):
        what, text = _CYCLE[(number - 1) % len(_CYCLE)]
        table = number if text is _TABLE else table
        yield f"{number:05d}_{what}_{number}", text.format(number=number, table=table)


def tables(count: int) -> str:
    """The tables alone that so many files create, without their indexes."""
    texts = [text for name, text in files(count) if "create_orders" in name]
    return "".join(text.partition("CREATE INDEX")[0] for text in texts)
