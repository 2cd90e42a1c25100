"""The verdict itself: each kind of trouble is a problem, and nothing else is."""

import unittest

from verdict import CASES, GROUPS, Verdict, reasons, stale


def report(case: str, **more) -> dict:
    good = {
        "id": case,
        "behavior": "OK",
        "behaviorClose": "OK",
        "remoteCloseCode": 1000,
        "wasClean": True,
        "duration": 1,
        "trafficStats": {"incomingOctetsAppLevel": 100, "incomingOctetsWebSocketLevel": 50},
    }
    return good | more


def all_cases(**odd: dict) -> list[dict]:
    """A report for every case; `odd` says which differ, such as `c1_1={...}`."""
    odd = {name[1:].replace("_", "."): more for name, more in odd.items()}
    names = [f"{group}.{n}" for group, count in GROUPS.items() for n in range(1, count + 1)]
    return [report(name, **odd.get(name, {})) for name in names]


def problems(reports: list[dict], allowed: dict | None = None) -> list[str]:
    return Verdict.of("way", reports).problems(allowed or {})


class TestVerdict(unittest.TestCase):
    def test_the_groups_are_all_cases(self):
        self.assertEqual(sum(GROUPS.values()), CASES)

    def test_good_cases_have_no_problem(self):
        informational = {"behavior": "INFORMATIONAL", "behaviorClose": "INFORMATIONAL"}
        self.assertEqual(problems(all_cases(c7_1=informational)), [])

    def test_each_trouble_is_a_problem(self):
        for odd in [
            {"behavior": "FAILED"},
            {"behavior": "ERROR"},
            {"behavior": "UNIMPLEMENTED"},
            {"behavior": "NON-STRICT"},
            {"behavior": "something new"},
            {"behaviorClose": "FAILED"},
            {"behaviorClose": "WRONG CODE"},
            {"behaviorClose": "UNCLEAN"},
            {"remoteCloseCode": None, "wasClean": False},
        ]:
            found = problems(all_cases(c6_3=odd))
            self.assertEqual(len(found), 1, odd)
            self.assertIn(" 6.3", found[0])

    def test_a_close_without_a_code_that_was_answered_in_kind_is_no_problem(self):
        self.assertEqual(problems(all_cases(c7_3={"remoteCloseCode": None})), [])

    def test_answers_that_are_not_compressed_are_a_problem(self):
        reports = all_cases()
        for each in reports:
            each["trafficStats"]["incomingOctetsWebSocketLevel"] = 100
        self.assertIn("not compressed", problems(reports)[0])

    def test_a_missing_case_is_a_problem(self):
        self.assertTrue(problems(all_cases()[:-1]))
        self.assertTrue(problems([]))

    def test_a_case_that_comes_twice_is_an_error(self):
        with self.assertRaises(ValueError):
            Verdict.of("way", [report("1.1"), report("1.1")])

    def test_a_non_strict_case_with_a_reason_is_allowed_while_it_is_needed(self):
        verdict = Verdict.of("way", all_cases(c6_3={"behavior": "NON-STRICT"}))
        allowed = reasons("# why\n6.3 a good reason\n")
        self.assertEqual(verdict.problems(allowed), [])
        self.assertEqual(stale(allowed, [verdict]), [])
        self.assertEqual(len(stale(allowed, [Verdict.of("way", all_cases())])), 1)

    def test_an_entry_without_a_reason_is_an_error(self):
        with self.assertRaises(ValueError):
            reasons("6.3\n")


if __name__ == "__main__":
    unittest.main()
