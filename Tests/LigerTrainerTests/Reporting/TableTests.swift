import LigerTrainer
import Testing

@Suite struct TableTests {
    private var table: Table {
        var table = Table([.text("kernel"), .number("time"), .text("")])
        table.add(["RMSNorm", "5.2 ms", "pass"])
        table.add(["é|x", "1,234.5 ms", ""])
        return table
    }

    @Test func plainColumnsAlign() {
        #expect(
            table.plain == """
                kernel         time
                -------  ----------  ----
                RMSNorm      5.2 ms  pass
                é|x      1,234.5 ms

                """)
    }

    @Test func aLineBreakInACellStaysInItsRow() {
        var table = Table([.text("a")])
        table.add(["x\ny"])
        #expect(table.plain == "a\n---\nx y\n")
    }
}
