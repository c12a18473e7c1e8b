import LigerTrainer
import Testing

@Suite struct FormatTests {
    @Test(arguments: [
        (1234.5, 1, "1,234.5"), (0, 2, "0.00"), (-0.001, 2, "0.00"), (-1234567.891, 2, "-1,234,567.89"),
        (999.999, 2, "1,000.00"), (0.125, 2, "0.12"), (0.375, 2, "0.38"), (100, 0, "100"), (1000, 0, "1,000"),
        (.nan, 1, "nan"), (-.infinity, 1, "-inf"), (1e15, 0, "1,000,000,000,000,000"),
    ])
    func decimal(value: Double, places: Int, expected: String) {
        #expect(Format.decimal(value, places: places) == expected)
    }

    @Test func theLargestNumberHasAllItsDigits() {
        #expect(Format.decimal(.greatestFiniteMagnitude, places: 100).filter { $0 != "," }.count == 309 + 101)
    }

    @Test(arguments: [(0, "0"), (-1, "-1"), (999, "999"), (1000, "1,000"), (-1234567, "-1,234,567")])
    func integer(value: Int, expected: String) {
        #expect(Format.integer(value) == expected)
        #expect(Format.integer(.min) == "-9,223,372,036,854,775,808")
    }

    // Each side of a change of unit, and a value whose rounding would show 1,024.0 of the smaller one.
    @Test(arguments: [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (12_897_485, "12.3 MiB"),
        (1_048_575, "1.0 MiB"), (-2048, "-2.0 KiB"), (5 << 30, "5.0 GiB"), (.max, "8.0 EiB"),
    ])
    func bytes(count: Int, expected: String) { #expect(Format.bytes(count) == expected) }

    @Test(arguments: [
        (0, "0 µs"), (8.5e-5, "85.0 µs"), (0.9999e-3, "1.00 ms"), (0.0123, "12.3 ms"), (0.9996, "1.0 s"),
        (5.24, "5.2 s"), (59.94, "59.9 s"), (59.96, "1m 00s"), (62, "1m 02s"), (3599.4, "59m 59s"),
        (3599.6, "1h 00m"), (3720, "1h 02m"), (86_399, "1d 00h"), (273_600, "3d 04h"), (-1, "?"), (.nan, "?"),
    ])
    func duration(seconds: Double, expected: String) {
        #expect(Format.duration(seconds: seconds) == expected)
    }

    @Test(arguments: [
        (0, 3, "0"), (12.345, 3, "12.3"), (0.0012345, 3, "0.00123"), (1.234e-7, 3, "1.23e-07"),
        (9.996, 3, "10.0"), (999_400, 3, "999,400"), (999_600, 3, "1.00e+06"), (999_999.9, 3, "1.00e+06"),
        (-12.345, 2, "-12"),
        (123_456, 3, "123,456"), (.infinity, 3, "inf"),
    ])
    func significant(value: Double, digits: Int, expected: String) {
        #expect(Format.significant(value, digits: digits) == expected)
    }

    @Test func percentReachesAHundredOnlyWhenDone() {
        #expect(Format.percent(0.999) == "99%")
        #expect(Format.percent(1) == "100%")
        #expect(Format.percent(.nan) == "?")
    }

    @Test func oneThingIsSingular() {
        #expect(Format.count(1, "file") == "1 file")
        #expect(Format.count(1200, "file") == "1,200 files")
    }
}
