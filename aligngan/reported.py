"""What the paper prints in Tables 2, 3 and 4, in percent: for comparison, never a result of this code."""

# Rank-1, Rank-10, Rank-20 and mAP of Table 2 by (mode, shots); AlignGAN is the row that the paper calls Ours.
TABLE_2: dict[tuple[str, str], dict[str, tuple[float, float, float, float]]] = {
    ("all", "single"): {
        "HOG": (2.76, 18.3, 32.0, 4.24),
        "LOMO": (3.64, 23.2, 37.3, 4.53),
        "Two-Stream": (11.7, 48.0, 65.5, 12.9),
        "One-Stream": (12.1, 49.7, 66.8, 13.7),
        "Zero-Padding": (14.8, 52.2, 71.4, 16.0),
        "BCTR": (16.2, 54.9, 71.5, 19.2),
        "BDTR": (17.1, 55.5, 72.0, 19.7),
        "D-HSME": (20.7, 62.8, 78.0, 23.2),
        "cmGAN": (27.0, 67.5, 80.6, 27.8),
        "AlignGAN": (42.4, 85.0, 93.7, 40.7),
    },
    ("all", "multi"): {
        "HOG": (3.82, 22.8, 37.7, 2.16),
        "LOMO": (4.70, 28.3, 43.1, 2.28),
        "Two-Stream": (16.4, 58.4, 74.5, 8.03),
        "One-Stream": (16.3, 58.2, 75.1, 8.59),
        "Zero-Padding": (19.2, 61.4, 78.5, 10.9),
        "cmGAN": (31.5, 72.7, 85.0, 22.3),
        "AlignGAN": (51.5, 89.4, 95.7, 33.9),
    },
    ("indoor", "single"): {
        "HOG": (3.22, 24.7, 44.6, 7.25),
        "LOMO": (5.75, 34.4, 54.9, 10.2),
        "Two-Stream": (15.6, 61.2, 81.1, 21.5),
        "One-Stream": (17.0, 63.6, 82.1, 23.0),
        "Zero-Padding": (20.6, 68.4, 85.8, 27.0),
        "cmGAN": (31.7, 77.2, 89.2, 42.2),
        "AlignGAN": (45.9, 87.6, 94.4, 54.3),
    },
    ("indoor", "multi"): {
        "HOG": (4.75, 29.1, 49.4, 3.51),
        "LOMO": (7.36, 40.4, 60.4, 5.64),
        "Two-Stream": (22.5, 72.3, 88.7, 14.0),
        "One-Stream": (22.7, 71.8, 87.9, 15.1),
        "Zero-Padding": (24.5, 75.9, 91.4, 18.7),
        "cmGAN": (37.0, 80.9, 92.3, 32.8),
        "AlignGAN": (57.1, 92.7, 97.4, 45.3),
    },
}

# Rank-1 and mAP of Table 3 by direction.
TABLE_3: dict[str, dict[str, tuple[float, float]]] = {
    "thermal2visible": {
        "Zero-Padding": (16.7, 17.9),
        "TONE": (21.7, 22.3),
        "BDTR": (32.8, 31.2),
        "D-HSME": (50.2, 46.2),
        "baseline": (32.7, 34.9),
        "AlignGAN": (56.3, 53.4),
    },
    "visible2thermal": {
        "Zero-Padding": (17.8, 31.9),
        "TONE": (24.4, 20.1),
        "BCTR": (32.7, 31.0),
        "BDTR": (33.5, 31.9),
        "D-HSME": (50.9, 47.0),
        "baseline": (33.1, 35.5),
        "AlignGAN": (57.9, 53.6),
    },
}

# Rank-1, Rank-10, Rank-20 and mAP of Table 4: all-search, single-shot; its last row is Table 2's.
TABLE_4: dict[str, tuple[float, float, float, float]] = {
    "baseline": (29.6, 74.9, 86.1, 33.0),
    "pixalign": (40.6, 81.6, 90.6, 38.7),
    "featalign": (34.1, 79.6, 89.1, 36.2),
    "aligngan-minus": (36.2, 80.1, 90.2, 34.2),
}


def reported_rows(search: dict) -> dict[str, dict[str, float]]:
    """Return the paper's rows for one search of `scores.json`: of each method the percentages by name of score."""
    if "direction" in search:
        table = TABLE_3[search["direction"]]
        return {method: dict(zip(("R1", "mAP"), row, strict=True)) for method, row in table.items()}
    key = search["mode"], search["shots"]
    rows = {**(TABLE_4 if key == ("all", "single") else {}), **TABLE_2[key]}
    return {method: dict(zip(("R1", "R10", "R20", "mAP"), row, strict=True)) for method, row in rows.items()}
