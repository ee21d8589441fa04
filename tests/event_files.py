"""What is in TensorBoard's event files."""

from tensorboardX.proto import event_pb2


def scalars(content: bytes) -> dict[tuple[str, int], float]:
    """Return the values of an event file by tag and step, in order.

    Records are: length (8 bytes), its checksum (4), the event, its checksum (4).
    """
    found: dict[tuple[str, int], float] = {}
    while content:
        length = int.from_bytes(content[:8], "little")
        event = event_pb2.Event()
        event.ParseFromString(content[12 : 12 + length])
        found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
        content = content[16 + length :]
    return found
