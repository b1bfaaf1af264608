"""Draws one archive of the demo."""

from job import running

with running(snakemake):
    from spd.datasets.demo.archives import write_classes, write_mvtec, write_visa
    from spd.datasets.demo.options import DemoOptions

    write = {"visa.tar": write_visa, "mvtec.tar.xz": write_mvtec, "classes.tar": write_classes}
    write[snakemake.wildcards.archive](snakemake.output[0], DemoOptions(**snakemake.params.options))
